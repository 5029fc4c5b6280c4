"""Results kept in Redis: one connection, subscribed to the results that somebody waits for and to no others.

A worker stores a result and publishes it. To miss none: subscribe, wait until Redis confirms, then look; what came
before is found by the look, what comes after is heard. A connection that was lost is replaced by a new subscription,
with new looks. Before all that comes a first look, since who reads many results finds most of them there, and a
look costs a fifth of a subscription.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from celery.backends.redis import RedisBackend
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.retry import Retry

from dispatch.transports.celery.results._alarm import Alarm
from dispatch.transports.celery.results._stored import UNREADABLE, Stored, check_form, stored, unreadable

ANSWER = 2.0
"""Seconds within which a healthy Redis answers."""

_BEAT = 5.0
"""Seconds of silence after which the connection is tried."""


class Subscription:
    """Follows calls by their ids. For one thread."""

    def __init__(self, backend: RedisBackend, alarm: Alarm) -> None:
        self._backend = backend
        self._alarm = alarm
        self._client = bounded_client(backend)
        self._channel = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._ids: dict[bytes, str] = {}
        self._subscribed: set[bytes] = set()
        self._found: list[tuple[str, Stored]] = []
        """By the first look, and not handed on yet."""
        self._heard = monotonic()
        self._asked: float | None = None
        """When the connection was last tried, while the answer is outstanding."""

    def follow(self, ids: Iterable[str]) -> None:
        self._ids |= (keys := {self._key(each): each for each in ids})
        self._found += self._look(list(keys))
        for each, _ in self._found:
            keys.pop(self._key(each), None)
        if keys:
            self._subscribed |= keys.keys()
            self._channel.subscribe(*keys)

    def leave(self, ids: Iterable[str]) -> None:
        keys = {self._key(each) for each in ids}
        for key in keys:
            self._ids.pop(key, None)
        subscribed = keys & self._subscribed
        if subscribed:
            self._subscribed -= subscribed
            self._channel.unsubscribe(*subscribed)

    def arrivals(self, timeout: float) -> Iterator[tuple[str, Stored]]:
        """What has come, after at most `timeout` seconds, or less when something comes or the alarm rings."""
        if self._found:
            yield from self._found
            self._found = []
            return
        self._wait(timeout)
        confirmed: list[bytes] = []
        for message in self._messages():
            key = _encoded(message["channel"])
            if message["type"] == "subscribe":
                confirmed.append(key)
            elif message["type"] == "message":
                yield from self._read(key, message["data"])
        yield from self._look([key for key in confirmed if key in self._ids])

    def close(self) -> None:
        self._channel.close()
        self._client.close()

    # ---- within

    def _wait(self, timeout: float) -> None:
        connection = self._channel.connection
        if connection is None:
            self._alarm.wait(timeout)
        elif not connection.can_read(timeout=0):  # what its parser holds makes no socket readable
            self._alarm.wait(min(timeout, _BEAT), beside=getattr(connection, "_sock", None))
            self._try_connection()

    def _try_connection(self) -> None:
        """A connection that is gone without a word looks like one on which nothing happens."""
        now = monotonic()
        if not self._ids or self._channel.connection.can_read(timeout=0):
            self._asked = None
        elif self._asked is not None:
            if now - self._asked > _BEAT:
                raise ConnectionLost("the result backend has fallen silent")
        elif now - self._heard > _BEAT:
            self._channel.ping()
            self._asked = now

    def _messages(self) -> Iterator[dict[str, Any]]:
        channel = self._channel
        while channel.subscribed and channel.connection.can_read(timeout=0):
            message = channel.get_message(timeout=0)
            self._heard, self._asked = monotonic(), None
            if message is not None:
                yield message

    def _look(self, keys: list[bytes]) -> Iterator[tuple[str, Stored]]:
        for key, payload in zip(keys, self._client.mget(keys) if keys else (), strict=True):
            yield from self._read(key, payload)

    def _read(self, key: bytes, payload: Any) -> Iterator[tuple[str, Stored]]:
        call_id = self._ids.get(key)
        if call_id is not None and payload is not None:
            found = _decoded(self._backend, payload)
            if found is not None:
                yield call_id, found

    def _key(self, call_id: str) -> bytes:
        return _encoded(self._backend.get_key_for_task(call_id))


def look_once(backend: RedisBackend, client: Redis, call_id: str) -> Stored | None:
    """The outcome, if it is there; asked with a client of `bounded_client`."""
    payload = client.get(backend.get_key_for_task(call_id))
    return None if payload is None else _decoded(backend, payload)


def bounded_client(backend: RedisBackend) -> Redis:
    """A client of the backend's server that fails within seconds, where Celery's own may wait for minutes."""
    bounds: dict[str, Any] = {"socket_timeout": ANSWER, "retry": Retry(NoBackoff(), 0)}
    if "socket_connect_timeout" in backend.connparams:  # a Unix socket has none
        bounds["socket_connect_timeout"] = ANSWER
    # Celery's own way to a client, which knows TLS, Sentinel and credential providers.
    client: Redis = backend._create_client(**{**backend.connparams, **bounds})  # noqa: SLF001
    return client


def _encoded(key: bytes | str | None) -> bytes:
    return key.encode() if isinstance(key, str) else key or b""


def _decoded(backend: RedisBackend, payload: Any) -> Stored | None:
    try:
        check_form(backend)
        return stored(backend.decode_result(payload))
    except UNREADABLE as error:
        return unreadable(error)
