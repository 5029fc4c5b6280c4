"""Payloads in a Redis, each a key that expires."""

from __future__ import annotations

from math import ceil
from typing import Any

import redis

_PREFIX = "dispatch:payload:"

_SETTLED_FOR = 86_400
"""Seconds that a settled payload is remembered as such, by an empty value."""


class RedisStore:
    """Raises `redis.RedisError`. Keeps what the server keeps: `durable` asks for nothing more."""

    def __init__(self, url: str, *, seconds: float, name: str) -> None:
        """`seconds` bound each wait."""
        # Nothing is sent twice by itself: a caller who waits is told.
        self._client: Any = redis.Redis.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=None, retry_on_timeout=False
        )
        self.name = name

    def put(self, key: str, data: bytes, *, expires: float, durable: bool) -> None:
        self._client.set(_PREFIX + key, data, ex=max(1, ceil(expires)))

    def get(self, key: str) -> bytes | None:
        """`None`: there is none. Empty: it was settled."""
        found: bytes | None = self._client.get(_PREFIX + key)
        return found

    def settle(self, key: str, *, remember: bool) -> None:
        if remember:
            self._client.set(_PREFIX + key, b"", ex=_SETTLED_FOR)
        else:
            self.remove(key)

    def remove(self, key: str) -> None:
        self._client.delete(_PREFIX + key)
