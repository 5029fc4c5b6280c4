"""A line to any other broker that kombu knows: one message after the other, and what its error says of each."""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import KombuError

from dispatch.transports.celery.publishing._answer import ACCEPTED, Answer, refused, unknown
from dispatch.transports.celery.publishing._line import connection, let_go
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._producer import Producer
from dispatch.transports.celery.publishing._proof import Proof, not_known


class PlainLine:
    """Nothing is known of these brokers' promises, so nothing is proved, and an error in the middle is `unknown`."""

    def __init__(self, app: Celery, seconds: float) -> None:
        self.broken = False
        self._app = app
        self._connection = connection(app, seconds)
        self._producer = Producer(app, self._connection.default_channel)
        self._errors: tuple[type[BaseException], ...] = (KombuError, OSError, *self._connection.connection_errors)
        self._declared: set[str] = set()
        self._posted: list[Message] = []

    def stands(self) -> bool:
        return bool(self._connection.connected)

    def barred(self) -> Answer | None:
        return None

    def look(self) -> bool:
        return False

    def prove(self, queue: str) -> Proof:
        if queue not in self._declared:
            self._app.amqp.queues[queue](self._producer.channel).declare()
            self._declared.add(queue)
        return not_known(str(self._connection.transport.driver_type))

    def post(self, message: Message) -> None:
        self._posted.append(message)

    def exchange(self) -> list[Answer]:
        posted, self._posted = self._posted, []
        return [self._send(message) for message in posted]

    def close(self) -> None:
        let_go(self._connection)

    def drop(self) -> None:
        let_go(self._connection)

    def disown(self) -> None:
        """What a driver makes of a fork is its own affair."""

    def _send(self, message: Message) -> Answer:
        if self.broken:
            return refused("the connection was lost before it was sent")
        try:
            message.post(self._producer)
        except self._connection.channel_errors as error:
            return refused(error)
        except ConnectionRefusedError as error:
            self.broken = True
            return refused(error)
        except self._errors as error:
            self.broken = True
            return unknown(error)
        return ACCEPTED
