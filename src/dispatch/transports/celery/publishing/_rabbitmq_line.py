"""A line to RabbitMQ: publisher confirms for all that waits, matched by their numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import amqp
from amqp import serialization
from celery import Celery
from kombu import common

from dispatch.transports.celery._dead_queue import declare as declare_dead_queue
from dispatch.transports.celery._delays import make_ready
from dispatch.transports.celery._queues import leads_to_letters
from dispatch.transports.celery.publishing._answer import ACCEPTED, Answer, refused, told, unknown
from dispatch.transports.celery.publishing._line import connection
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._producer import Producer
from dispatch.transports.celery.publishing._proof import Proof, disagreed, not_asked, of_queue

_declare_once: Callable[..., bool] = common.maybe_declare

_packed: Callable[..., bytes] = serialization.dumps

_SENT: tuple[type[BaseException], ...] = (OSError, amqp.AMQPError, AttributeError)
"""What py-amqp raises of a connection; the last where it lost one in the middle of its own work."""


class RabbitMQLine:
    """Messages go out one behind the other, then their confirms are awaited: accepted is confirmed and not returned.

    py-amqp's own waiting for confirms takes any confirm for its own and blocks in the good-byes of a dead
    connection. Here each confirm is matched by its number, and a dead connection is let go without good-byes.
    """

    def __init__(self, app: Celery, seconds: float) -> None:
        self.broken = False
        self._app = app
        self._seconds = seconds
        self._blocked = ""
        self._connection = connection(
            app,
            seconds,
            confirm_publish=False,
            read_timeout=seconds,
            write_timeout=seconds,
            on_blocked=self._on_blocked,
            on_unblocked=self._on_unblocked,
        )
        try:
            self._amqp: Any = self._connection.connection
            self._channel: Any = self._amqp.channel()
            self._channel.confirm_select()
        except BaseException:
            self.drop()
            raise
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._producer = Producer(app, self._channel)
        # What Celery publishes is gathered here, and written in `exchange`.
        self._publish = self._channel.basic_publish
        self._channel.basic_publish = self._gather
        self._gathered: list[tuple[Any, dict[str, Any]]] = []
        self._posted: list[int] = []
        self._number = 0
        self._awaited: dict[int, tuple[_Hearing, int, str]] = {}
        self._returned: dict[str, Answer] = {}
        self._proofs: dict[str, Proof] = {}
        self._delays: set[str] = set()

    # ---- before anything is sent

    def stands(self) -> bool:
        try:
            while True:
                self._amqp.drain_events(timeout=0)
        except TimeoutError:
            return True  # nothing more to hear
        except _SENT:
            return False

    def barred(self) -> Answer | None:
        return refused(f"RabbitMQ takes no messages: {self._blocked}") if self._blocked else None

    def look(self) -> bool:
        return False  # it says by itself when it is short of anything, and `stands` hears it

    def prove(self, queue: str) -> Proof:
        known = self._proofs.get(queue)
        if known is None:
            known = self._proofs[queue] = self._declare(queue)
        return known

    def post(self, message: Message) -> None:
        before = len(self._gathered)
        try:
            self._prepare(message)
            message.post(self._producer)
        except BaseException as error:
            # py-amqp opens a closed channel anew by itself, and then without confirms.
            lost = isinstance(error, _SENT) and not isinstance(error, amqp.FrameSyntaxError)
            self.broken = self.broken or lost
            del self._gathered[before:]
            raise
        self._posted.append(before)

    # ---- sending

    def exchange(self) -> list[Answer]:
        gathered, self._gathered = self._gathered, []
        posted, self._posted = self._posted, []
        hearing = _Hearing(len(posted))
        if self.broken:
            return hearing.answers
        places = {at: place for place, at in enumerate(posted)}
        until = monotonic() + self._seconds
        try:
            for at, (message, options) in enumerate(gathered):
                # An event about a message is published behind it, and has no place among the answers.
                self._write(message, options, hearing, places.get(at))
            while hearing.outstanding:
                self._amqp.drain_events(timeout=max(until - monotonic(), 0.001))
        except _SENT as error:
            # A blocked connection is kept: it alone will hear when the alarm is over.
            self.broken = not (self._blocked and isinstance(error, TimeoutError))
            # RabbitMQ closes a channel over one message, and says no word about the others on it.
            about_one = isinstance(error, amqp.ChannelError) and hearing.outstanding == 1
            return hearing.cut_short(refused(error) if about_one else unknown(error))
        return hearing.answers

    def _write(self, message: Any, options: dict[str, Any], hearing: _Hearing, place: int | None) -> None:
        self._number += 1
        if place is not None:
            hearing.written += 1
            self._awaited[self._number] = (hearing, place, message.properties.get("correlation_id", ""))
        try:
            self._publish(message, **{**options, "timeout": self._seconds})
        except _SENT:
            raise
        except Exception as error:  # noqa: BLE001 - struct.error and its like: it does not fit into AMQP's form
            # py-amqp packs a message whole before it writes the first byte of it.
            self._awaited.pop(self._number, None)
            self._number -= 1
            if place is not None:
                hearing.hear(place, refused(error))

    def _prepare(self, message: Message) -> None:
        queue = message.queue
        if not message.delay_ns or queue is None or queue in self._delays:
            return
        make_ready(self._connection, self._app, queue)
        self._delays.add(queue)

    def _gather(self, message: Any, **options: Any) -> None:
        # Headers that are no AMQP table would be found while others are under way, and look like a lost connection.
        _packed("F", [message.properties.get("application_headers")])
        self._gathered.append((message, options))

    # ---- what the broker says

    def _on_ack(self, number: int, multiple: bool) -> None:  # noqa: FBT001 - py-amqp calls it so
        self._confirmed(number, multiple, ACCEPTED)

    def _on_nack(self, number: int, multiple: bool) -> None:  # noqa: FBT001
        self._confirmed(number, multiple, refused("RabbitMQ could not take it (nack)"))

    def _confirmed(self, number: int, multiple: bool, answer: Answer) -> None:  # noqa: FBT001
        numbers = [each for each in self._awaited if each <= number] if multiple else [number]
        for each in numbers:
            awaited = self._awaited.pop(each, None)
            if awaited is not None:
                hearing, place, identity = awaited
                hearing.hear(place, self._returned.pop(identity, answer))

    def _on_return(self, error: BaseException, exchange: str, routing_key: str, message: Any) -> None:
        """The message could not be routed; its confirm is still to come."""
        where = f"queue {routing_key!r}" if not exchange else f"exchange {exchange!r} with key {routing_key!r}"
        self._returned[message.properties.get("correlation_id", "")] = refused(f"{where} leads nowhere: {told(error)}")
        # Somebody deleted it. The next message declares it again, and finds out anew what it keeps.
        self._proofs.clear()
        self._delays.clear()
        self._connection.declared_entities.clear()

    def _on_blocked(self, reason: str) -> None:
        self._blocked = reason or "it is short of memory or disk"

    def _on_unblocked(self) -> None:
        self._blocked = ""

    # ---- its end

    def close(self) -> None:
        self._connection.release()

    def drop(self) -> None:
        self._connection.collect()

    def disown(self) -> None:
        # To close it would send a shutdown down the parent's connection. Closing this copy of the descriptor does not.
        with suppress(OSError, AttributeError):
            os.close(self._amqp.transport.sock.detach())

    def _declare(self, queue: str) -> Proof:
        described = self._app.amqp.queues[queue]
        # On a channel of its own: RabbitMQ closes the channel on which it disagrees.
        with self._amqp.channel() as channel:
            try:
                if leads_to_letters(described):
                    declare_dead_queue(channel)
                _declare_once(described(channel), channel)
            except amqp.PreconditionFailed as error:
                return disagreed(queue, told(error))
            except amqp.ChannelError as error:
                return not_asked(told(error))
        return of_queue(described)


class _Hearing:
    """The answers to one exchange, as they come in."""

    def __init__(self, count: int) -> None:
        self.answers = [_UNSENT] * count
        self.outstanding = count
        self.written = 0

    def hear(self, place: int, answer: Answer) -> None:
        if self.answers[place] is _UNSENT:
            self.outstanding -= 1
        self.answers[place] = answer

    def cut_short(self, answer: Answer) -> list[Answer]:
        """`answer` is that of what was written and not answered; what follows it was never written."""
        for place in range(self.written):
            if self.answers[place] is _UNSENT:
                self.answers[place] = answer
        # Confirms that still come are for nobody.
        answers, self.answers = self.answers, list(self.answers)
        return answers


_UNSENT = refused("the connection was lost before it was sent")
