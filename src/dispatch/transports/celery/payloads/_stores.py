"""Which store an app's payloads are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from celery import Celery

from dispatch._fork import renew_in_child
from dispatch.errors import NotConfigured
from dispatch.transports.celery.payloads._folder import FolderStore
from dispatch.transports.celery.payloads._in_redis import RedisStore

SETTING = "DISPATCH_PAYLOAD_STORE"

_SECONDS = 5.0
"""Bounds each wait for a Redis."""

_REDIS = ("redis", "rediss", "unix")


class PayloadStore(Protocol):
    """Every method waits for the disk or the network, and raises what they raise."""

    @property
    def name(self) -> str:
        """What it is called in messages; never an address's password."""

    def put(self, key: str, data: bytes, *, expires: float, durable: bool) -> None: ...

    def get(self, key: str) -> bytes | None: ...

    def settle(self, key: str, *, remember: bool) -> None:
        """It is wanted no more. `remember`: for a day, that it was, should its message come again."""

    def remove(self, key: str) -> None: ...


_addresses: dict[int, str | None] = {}
_stores: dict[int, PayloadStore] = {}
"""By the id of the app, for as long as it is registered with."""

renew_in_child(_stores.clear)


def keep_for(app: Celery, address: str | None) -> None:
    """Keep an app's payloads there from now on; `None`: where its broker is, if that is a Redis."""
    _addresses[id(app)] = address
    _stores.pop(id(app), None)


def store_of(app: Celery) -> PayloadStore:
    """Raises `NotConfigured` where there is none. Nothing connects before the first use."""
    made = _stores.get(id(app))
    if made is None:
        made = _stores[id(app)] = _made(_addresses.get(id(app)) or _broker(app))
    return made


def _made(address: str) -> PayloadStore:
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme in _REDIS:
        where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        return RedisStore(address, seconds=_SECONDS, name=f"redis at {where}")
    raise NotConfigured(f"{SETTING} is no store: write file:///a/shared/folder, or redis://host:6379/1")


def _broker(app: Celery) -> str:
    said: Any = app.conf.broker_write_url or app.conf.broker_url
    first = said[0] if isinstance(said, list | tuple) and said else said
    url = str(first or "").split(";")[0]
    if urlsplit(url).scheme not in _REDIS:
        raise NotConfigured(
            f"there is no store for large payloads, and the broker is no Redis: set {SETTING} to "
            "file:///a/folder/that/workers/share, or to redis://host:6379/1"
        )
    return url
