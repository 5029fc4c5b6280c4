"""Dead letters on Redis, which the ledger keeps."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from dispatch._dead_letter import DeadLetter, Retried
from dispatch.errors import DispatchError
from dispatch.transports.celery._redis import connect
from dispatch.transports.celery._signer import Forged, rewritten
from dispatch.transports.celery.dead._arguments import shown, unpacked, unsigned
from dispatch.transports.celery.ledger import Ledger, Letter
from dispatch.transports.celery.worker import trace_id

_PAGE = 100


class LettersInLedger:
    """`DeadLetters` of one app on Redis."""

    place = "redis"

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connected: Ledger | None = None

    def letters(self) -> Iterator[DeadLetter]:
        first = 0
        while ids := self._ids(first):
            first += len(ids)
            # One that was retried or dropped meanwhile is not there any more.
            yield from (letter for call_id in ids if (letter := self.show(call_id)) is not None)

    def show(self, call_id: str) -> DeadLetter | None:
        with _asking():
            letter = self._ledger.letters.show(call_id)
        return None if letter is None else _told(letter)

    def retry(self, ids: Collection[str]) -> dict[str, Retried]:
        answers: dict[str, Retried] = {}
        for call_id in ids:
            with _asking():
                answer = self._ledger.letters.exhume(call_id, partial(self._rewritten, call_id))
            if answer != "absent":
                answers[call_id] = "sent" if answer == "entered" else "known"
        return answers

    def drop(self, ids: Collection[str]) -> set[str]:
        with _asking():
            return {call_id for call_id in ids if self._ledger.letters.drop(call_id)}

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()

    def _rewritten(self, call_id: str, before: str, after: str) -> str:
        try:
            return rewritten(self._app, before, after)
        except Forged as error:
            raise DispatchError(unsigned(call_id, error)) from error

    @property
    def _ledger(self) -> Ledger:
        if self._connected is None:
            self._connected = connect(self._app)
        return self._connected

    def _ids(self, first: int) -> list[str]:
        with _asking():
            return self._ledger.letters.ids(first, _PAGE)


def _told(letter: Letter) -> DeadLetter:
    message = json.loads(letter.message)
    body = unpacked(message["body"], message["properties"].get("body_encoding"))
    return DeadLetter(
        id=letter.id,
        task=letter.task,
        reason=letter.reason,
        error=letter.error,
        traceback=letter.traceback,
        attempts=letter.attempt,
        deliveries=letter.deliveries,
        trace_id=letter.trace_id or trace_id(message["headers"]),
        queue=letter.list_key,
        at_ms=letter.at_ms,
        arguments=shown(body, message.get("content-type"), message["headers"]),
    )


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OperationalError, OSError) as error:
        raise DispatchError(f"Redis cannot be asked for its dead letters: {error}") from error
