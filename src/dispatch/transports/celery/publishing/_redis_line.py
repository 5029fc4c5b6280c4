"""A line to Redis: one pipeline for all that waits, one answer for each message in it."""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery
from kombu.exceptions import BatchPublishError
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from dispatch.transports.celery.publishing._answer import ACCEPTED, Answer, refused, takes_nothing, told, unknown
from dispatch.transports.celery.publishing._line import NEVER_TWICE, connection, let_go
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._producer import Producer
from dispatch.transports.celery.publishing._proof import Proof, not_asked, of_redis

_UNBOUND = "no queue is bound to the exchange, and Redis would drop the message without a word"


class RedisLine:
    """kombu's own publish batch makes the commands; here they are sent at once and answered one by one.

    kombu's `flush` raises on the first error and says "uncertain" of them all. And redis-py reconnects by itself,
    maybe to a server that lost everything; here one connection is held, and when it is gone the line is over.
    """

    def __init__(self, app: Celery, seconds: float) -> None:
        self.broken = False
        bounds = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        self._connection = connection(app, seconds, **bounds, **NEVER_TWICE)
        try:
            self._channel: Any = self._connection.default_channel
            self._socket: Any = self._channel.pool.get_connection()
        except BaseException:
            self.drop()
            raise
        self._app = app
        self._producer = Producer(app, self._channel)
        self._batch: Any = self._producer.batch(max_size=sys.maxsize)
        # For as long as the line lasts: entering makes a new Redis client, which costs as much as publishing.
        self._batch.__enter__()
        self._counts: list[int] = []
        self._lost = Answer("unknown")
        self._proof: Proof | None = None
        self._declared: set[str] = set()

    def stands(self) -> bool:
        try:
            # Nothing was asked, so whatever can be read is the end, or not for us.
            return self._socket.is_connected and not self._socket.can_read()
        except (RedisError, OSError):
            return False

    def barred(self) -> Answer | None:
        return None

    def prove(self, queue: str) -> Proof:
        if queue not in self._declared:
            described = self._app.amqp.queues[queue]
            # Into a direct exchange Celery's messages go by the queue's name alone. Others need their bindings.
            if described.exchange.type != "direct" or "x-expires" in (described.queue_arguments or {}):
                described(self._channel).declare()
            self._declared.add(queue)
        if self._proof is None:
            self._proof = self._asked()
        return self._proof

    def post(self, message: Message) -> None:
        before = len(self._commands())
        try:
            message.post(self._producer)
        except BaseException as error:
            # A batch of kombu's that failed once takes nothing any more.
            self.broken = self.broken or isinstance(error, BatchPublishError)
            del self._commands()[before:]
            raise
        self._counts.append(len(self._commands()) - before)

    def exchange(self) -> list[Answer]:
        counts, self._counts = self._counts, []
        commands = [arguments for arguments, _ in self._commands()]
        if not commands:
            return [refused(_UNBOUND) for _ in counts]
        self._batch.state.session.pipeline.reset()
        try:
            self._socket.send_packed_command(self._socket.pack_commands(commands), check_health=False)
        except (RedisError, OSError) as error:
            self.broken = True
            return [unknown(error) if count else refused(_UNBOUND) for count in counts]
        return [self._heard(count) for count in counts]

    def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        let_go(self._connection)

    def disown(self) -> None:
        """Nothing to do: redis-py knows its process, and closes in a child without a word to the server."""

    def _commands(self) -> list[Any]:
        session = self._batch.state.session
        commands: list[Any] = [] if session is None else session.pipeline.command_stack
        return commands

    def _heard(self, count: int) -> Answer:
        """The answer to one message: that to its first command. Each of its others is read too, and only counts
        for the connection."""
        if count == 0:
            return refused(_UNBOUND)
        answers = [self._reply() for _ in range(count)]
        return answers[0]

    def _reply(self) -> Answer:
        if self.broken:
            return self._lost
        try:
            self._socket.read_response()
        except (OutOfMemoryError, ReadOnlyError) as error:
            return takes_nothing(error)
        except ResponseError as error:
            return refused(error)
        except (RedisError, OSError) as error:
            self.broken, self._lost = True, unknown(error)
            return takes_nothing(error) if isinstance(error, BusyLoadingError) else self._lost
        return ACCEPTED

    def _asked(self) -> Proof:
        questions = [("INFO", "persistence"), ("INFO", "memory")]
        self._socket.send_packed_command(self._socket.pack_commands(questions), check_health=False)
        facts: dict[str, str] = {}
        refusal = ""
        for _ in questions:
            try:
                text = self._socket.read_response()
            except ResponseError as error:
                refusal = told(error)
                continue
            lines = (text if isinstance(text, str) else bytes(text).decode()).splitlines()
            facts.update((key, value) for key, colon, value in (line.partition(":") for line in lines) if colon)
        return not_asked(refusal) if refusal else of_redis(facts)
