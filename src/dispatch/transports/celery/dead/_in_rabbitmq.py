"""Dead letters on RabbitMQ, in the queue that `_dead_queue` describes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from threading import Event
from time import monotonic
from typing import Any, TypeAlias

import amqp
from amqp.exceptions import MessageNacked
from celery import Celery
from kombu import compression
from kombu.exceptions import OperationalError

from dispatch._dead_letter import DeadLetter, Retried
from dispatch.errors import DispatchError
from dispatch.transports.celery._dead_queue import DEAD, FACTS, declare
from dispatch.transports.celery._signer import SIGNATURE_HEADER, Forged, signer_of
from dispatch.transports.celery.dead._arguments import shown, unsigned
from dispatch.transports.celery.publishing import connection, let_go
from dispatch.transports.celery.worker import trace_id

_SECONDS = 10.0
"""Bounds each wait for the broker."""

_BACK = 2.0
"""Seconds for which letters that go back are waited for. RabbitMQ answers before they are there."""

_OF_THE_LETTER = frozenset({FACTS, "x-delivery-count"})
_OF_RABBITMQ = ("x-death", "x-first-death-", "x-last-death-")
"""Headers that the call's next message does not have: names, and beginnings of names."""

_OF_THE_FIRST_ATTEMPT = {"retries": 0, "expires": None, "eta": None}

_unpacked: Callable[..., bytes] = compression.decompress

_See: TypeAlias = Callable[[Any, DeadLetter, Any], bool]
"""Looks at a letter, with the channel and the message. True: it has acknowledged it."""


class LettersInRabbitMQ:
    """`DeadLetters` of one app on RabbitMQ.

    A queue can only be looked through by taking out what is in it. Nothing is acknowledged but what is dropped, or was
    sent again and confirmed; everything else goes back when the channel closes, also by the death of this process.
    Who looks meanwhile does not see it.
    """

    place = "rabbitmq"

    def __init__(self, app: Celery) -> None:
        self._app = app

    def letters(self) -> Iterator[DeadLetter]:
        found: dict[str, DeadLetter] = {}

        def note(_: Any, letter: DeadLetter, __: Any) -> bool:
            # A call whose worker died between the letter and its acknowledgement has two.
            found[letter.id] = max(found.get(letter.id, letter), letter, key=attrgetter("at_ms"))
            return False

        self._look(note)
        return iter(sorted(found.values(), key=attrgetter("at_ms"), reverse=True))

    def show(self, call_id: str) -> DeadLetter | None:
        return next((letter for letter in self.letters() if letter.id == call_id), None)

    def retry(self, ids: Collection[str]) -> dict[str, Retried]:
        answers: dict[str, Retried] = {}

        def send(channel: Any, letter: DeadLetter, message: Any) -> bool:
            if letter.id not in ids:
                return False
            if letter.id not in answers:
                _send_again(self._app, channel, letter, message)
                answers[letter.id] = "sent"
            channel.basic_ack(message.delivery_tag)
            return True

        self._look(send)
        return answers

    def drop(self, ids: Collection[str]) -> set[str]:
        dropped: set[str] = set()

        def drop(channel: Any, letter: DeadLetter, message: Any) -> bool:
            if letter.id not in ids:
                return False
            channel.basic_ack(message.delivery_tag)
            dropped.add(letter.id)
            return True

        self._look(drop)
        return dropped

    def close(self) -> None:
        """Nothing to do: each look has a connection of its own."""

    def _look(self, see: _See) -> None:
        """Show `see` every letter that is there now."""
        with _asking():
            line = connection(self._app, _SECONDS, confirm_publish=True, read_timeout=_SECONDS, write_timeout=_SECONDS)
            try:
                channel = line.default_channel
                declare(channel)
                _, count, _ = channel.queue_declare(DEAD, passive=True)
                left = 0
                for _ in range(count):
                    message = channel.basic_get(DEAD)
                    if message is None:
                        break
                    left += not see(channel, _told(message), message)
                if left:
                    _give_back(channel, left)
            finally:
                let_go(line)  # in good order: what was acknowledged is


def _give_back(channel: Any, count: int) -> None:
    """Give back what was not acknowledged, and wait a moment until it is there: who looks next is to see it."""
    channel.basic_recover(requeue=True)
    pause, until = Event(), monotonic() + _BACK
    while channel.queue_declare(DEAD, passive=True).message_count < count and monotonic() < until:
        pause.wait(0.01)


def _told(message: Any) -> DeadLetter:
    """As far as the message says; somebody else's says nothing."""
    headers = message.headers or {}
    facts, deaths = headers.get(FACTS), headers.get("x-death") or ()
    if not isinstance(facts, dict):
        facts = _by_rabbitmq(deaths[0] if deaths else {})
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return DeadLetter(
        id=_text(headers, "id"),
        task=_text(headers, "task"),
        reason=_text(facts, "reason"),
        error=_text(facts, "error"),
        traceback=_text(facts, "traceback"),
        attempts=_number(facts, "attempts") or _number(headers, "retries") + 1,
        deliveries=_number(facts, "deliveries"),
        trace_id=trace_id(headers),
        queue=_text(facts, "queue"),
        at_ms=_number(facts, "at_ms"),
        arguments=shown(body, message.properties.get("content_type"), headers),
    )


def _text(table: Mapping[str, Any], name: str) -> str:
    return str(table.get(name) or "")


def _number(table: Mapping[str, Any], name: str) -> int:
    found = table.get(name)
    return found if isinstance(found, int) else 0


def _by_rabbitmq(death: dict[str, Any]) -> dict[str, Any]:
    """What RabbitMQ itself says of a message that it took out of a queue, in our words for it."""
    reason, queue, time = death.get("reason", "unknown"), death.get("queue", ""), death.get("time")
    return {
        "reason": reason,
        "error": f"RabbitMQ took it out of {queue}: {reason}",
        "queue": queue,
        "at_ms": int(time.timestamp() * 1000) if isinstance(time, datetime) else 0,
    }


def _send_again(app: Celery, channel: Any, letter: DeadLetter, message: Any) -> None:
    """Publish the call as a first attempt. Once this returns, RabbitMQ keeps it; else raises."""
    headers = {
        name: value
        for name, value in (message.headers or {}).items()
        if name not in _OF_THE_LETTER and not name.startswith(_OF_RABBITMQ)
    }
    properties = {name: value for name, value in message.properties.items() if name != "expiration"}
    first = _signed(app, letter, message, headers | _OF_THE_FIRST_ATTEMPT)
    again = amqp.Message(message.body, **{**properties, "application_headers": first, "delivery_mode": 2})
    try:
        # By the queue's own name, which leads there whatever its exchange.
        channel.basic_publish(again, exchange="", routing_key=letter.queue, mandatory=True)
    except (amqp.ChannelError, MessageNacked) as error:
        raise DispatchError(f"{letter.queue!r} does not take call {letter.id}; its letter stays: {error}") from error


def _signed(app: Celery, letter: DeadLetter, message: Any, headers: dict[str, Any]) -> dict[str, Any]:
    """`headers` with a signature of today, where the app signs, and the letter has a good one."""
    signer = signer_of(app)
    if signer is None:
        return headers
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    if packed := headers.get("compression"):
        body = _unpacked(body, packed)
    form = message.properties.get("content_type"), message.properties.get("content_encoding")
    try:
        signer.written_ns(message.headers or {}, body, *form)
    except Forged as error:
        raise DispatchError(unsigned(letter.id, error)) from error
    return headers | {SIGNATURE_HEADER: signer.sign(headers, body, *form)}


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (amqp.AMQPError, OperationalError, OSError) as error:
        raise DispatchError(f"RabbitMQ cannot be asked for its dead letters: {error}") from error
