"""Dead letters: durable calls that failed for good, whole, until somebody decides about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
import redis

from dispatch.transports.celery.ledger._message import NO_STAMP, cut, first_attempt
from dispatch.transports.celery.ledger._script import Script, read

_EXHUME = Script("exhume")
_DROP = Script("drop")


Rewrite: TypeAlias = Callable[[str, str], str]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much the dead letters may take, all together. The oldest make room; the newest always stays."""

    count: int = 10_000
    bytes: int = 256 << 20


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One call that failed for good."""

    id: str
    task: str
    list_key: str
    message: str
    reason: Literal["failed", "max_deliveries", "unclaimed"]
    """Its last attempt raised; it was claimed too often; it was published too often and never claimed to its end."""
    error: str
    traceback: str
    trace_id: str
    attempt: int
    deliveries: int
    """Of the last attempt."""
    at_ms: int
    """Since the epoch, by the server's clock."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What is there, and what no longer is."""

    count: int
    bytes: int
    gone: int
    """Letters that made room for newer ones, ever."""


class Letters:
    """Every method raises `redis.RedisError`, and may be called again when its answer was lost."""

    def __init__(self, client: redis.Redis, root: str) -> None:
        self._client: Any = client
        self._root = root

    def tally(self) -> Tally:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zcard(f"{self._root}dead")
            pipe.hmget(f"{self._root}dead-tally", "bytes", "gone")
            count, (held, gone) = pipe.execute()
        return Tally(count=count, bytes=int(held or 0), gone=int(gone or 0))

    def ids(self, first: int = 0, limit: int = 100) -> list[str]:
        """The newest first; `first` skips so many."""
        found: list[str] = read(self._client.zrevrange(f"{self._root}dead", first, first + limit - 1))
        return found

    def show(self, call_id: str) -> Letter | None:
        """`None`: there is no such letter."""
        facts: Mapping[str, str] = {
            read(key): read(value) for key, value in self._client.hgetall(f"{self._root}dead:{call_id}").items()
        }
        if not facts:
            return None
        return Letter(
            id=call_id,
            task=facts["task"],
            list_key=facts["list"],
            message=facts["before"] + NO_STAMP + facts["after"],
            reason=facts["reason"],  # type: ignore[arg-type] # written by our own scripts
            error=facts["error"],
            traceback=facts.get("traceback", ""),
            trace_id=facts.get("trace", ""),
            attempt=int(facts["attempt"]),
            deliveries=int(facts.get("deliveries", 0)),
            at_ms=int(facts["at"]),
        )

    def exhume(self, call_id: str, rewrite: Rewrite | None = None) -> Literal["entered", "known", "absent"]:
        """Publish it once more, under its id, as a first attempt.

        `known`: a call with this id is under way, for one because this was asked before. `absent`: no such letter.
        Out of memory, it raises, and the letter is as it was. `rewrite` is given the old message and the new one, and
        has the last word about that; what it raises leaves the letter as it was too.
        """
        letter = self.show(call_id)
        if letter is None:
            state = read(self._client.hget(f"{self._root}ledger:{call_id}", "state"))
            return "absent" if state in {None, "settled"} else "known"
        again = first_attempt(letter.message)
        halves = cut(again if rewrite is None else rewrite(letter.message, again))
        answer: Literal["entered", "known", "absent"] = _EXHUME.run(self._client, self._root, call_id, 1, *halves)
        return answer

    def drop(self, call_id: str) -> bool:
        """Throw it away. False: there is no such letter."""
        return bool(_DROP.run(self._client, self._root, call_id))
