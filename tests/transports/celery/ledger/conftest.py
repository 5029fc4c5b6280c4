"""A desk: a ledger on a real Redis, the lists beside it, and a way to let time pass without waiting for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import redis

from dispatch.transports.celery.ledger import NO_STAMP, STAMP_HEADER, Claim, Dropped, Entry, Ledger

_STAMP = re.compile(rf'"{STAMP_HEADER}": "(\d{{13}})"')


class Desk:
    """What the publishing side and a worker do, step by step."""

    def __init__(self, url: str, **ledger: Any) -> None:
        self.redis = redis.Redis.from_url(url, decode_responses=True, retry=None)
        self.ledger = Ledger(self.redis, **ledger)
        self.numbers = count(1)

    def text(self, call_id: str, attempt: int = 1, **headers: Any) -> str:
        """As kombu writes it: the body is one text, and the arguments `[]` and `{}` are inside."""
        said = {"id": call_id, "task": "shop.charge", "retries": attempt - 1, STAMP_HEADER: NO_STAMP, **headers}
        return json.dumps({"body": "W1tdLCB7fSwge31d", "headers": said, "properties": {"empty": [], "none": {}}})

    def entry(self, call_id: str = "call", *, attempt: int = 1, **terms: Any) -> Entry:
        given = {"list_key": "queue", "task": "shop.charge", "message": self.text(call_id, attempt), **terms}
        return Entry(id=call_id, attempt=attempt, **given)

    def enter(self, call_id: str = "call", **terms: Any) -> bool:
        return self.ledger.enter(self.entry(call_id, **terms)).fresh

    def claim(self, call_id: str = "call", attempt: int = 1, *, owner: str | None = None, **terms: Any) -> Any:
        owner = owner or f"owner-{next(self.numbers)}"
        made = lambda: self.entry(call_id, attempt=attempt, **terms)  # noqa: E731
        return self.ledger.claim(call_id, attempt, owner, made)

    def claimed(self, call_id: str = "call", attempt: int = 1, **terms: Any) -> Claim:
        verdict = self.claim(call_id, attempt, **terms)
        assert isinstance(verdict, Claim), verdict
        return verdict

    def running(self, call_id: str = "call", **terms: Any) -> Claim:
        """Entered, popped and claimed."""
        assert self.enter(call_id, **terms)
        assert self.pop(terms.get("list_key", "queue")) == (call_id, terms.get("attempt", 1))
        return self.claimed(call_id, terms.get("attempt", 1))

    def refused(self, why: str, *claim: Any) -> Dropped:
        verdict = self.claim(*claim)
        assert isinstance(verdict, Dropped)
        assert why == verdict.why
        return verdict

    def sweep(self) -> Any:
        return self.ledger.sweep("sweeper")

    def sweep_all(self) -> int:
        """Until nothing is due. How many messages it pushed."""
        pushed = 0
        while (found := self.sweep()).looked:
            pushed += found.pushed
        return pushed

    def pop(self, list_key: str = "queue") -> tuple[str, int] | None:
        """The next message, as a worker takes it: its call and its attempt."""
        text = self.redis.rpop(list_key)
        if text is None:
            return None
        headers = json.loads(text)["headers"]
        return headers["id"], headers["retries"] + 1

    def queued(self, list_key: str = "queue") -> list[str]:
        """The calls whose messages are in the list, the next one first."""
        return [json.loads(text)["headers"]["id"] for text in reversed(self.redis.lrange(list_key, 0, -1))]

    def facts(self, call_id: str = "call") -> dict[str, str]:
        return self.redis.hgetall(f"dispatch:ledger:{call_id}")

    def state(self, call_id: str = "call") -> str | None:
        return self.facts(call_id).get("state")

    def due(self) -> list[str]:
        return self.redis.zrange("dispatch:due", 0, -1)

    def later(self, milliseconds: int) -> None:
        """Time passes: everything that the ledger and the lists remember is so much longer ago."""
        due = self.redis.zrange("dispatch:due", 0, -1, withscores=True)
        texts = {key: self.redis.lrange(key, 0, -1) for key in self.redis.scan_iter(_type="list")}
        with self.redis.pipeline() as pipe:
            for call_id, score in due:
                pipe.zadd("dispatch:due", {call_id: score - milliseconds})
                for name in ("stamp", "until"):
                    # Made anew where it is missing, and then meaningless: only a running entry has an end.
                    pipe.hincrby(f"dispatch:ledger:{call_id}", name, -milliseconds)
            for key, found in texts.items():
                pipe.delete(key)
                pipe.rpush(key, *[_STAMP.sub(lambda stamp: _earlier(stamp, milliseconds), text) for text in found])
            pipe.execute()


def _earlier(found: re.Match[str], milliseconds: int) -> str:
    return f'"{STAMP_HEADER}": "{int(found[1]) - milliseconds:013d}"'


@pytest.fixture
def new_desk() -> Iterator[Callable[..., Desk]]:
    """Makes desks: `new_desk(url, **ledger)`."""
    made: list[Desk] = []

    def make(url: str, **ledger: Any) -> Desk:
        made.append(Desk(url, **ledger))
        return made[-1]

    yield make
    for desk in made:
        desk.redis.close()


@pytest.fixture
def desk(redis_url, new_desk) -> Desk:
    """At a Redis with nothing in it."""
    return new_desk(redis_url)
