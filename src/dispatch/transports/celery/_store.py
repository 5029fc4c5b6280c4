"""Where results are kept: the app's own backend, else one that dispatch gives to its own tasks alone."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.app.backends import by_url
from celery.backends.base import Backend, DisabledBackend
from celery.exceptions import ImproperlyConfigured
from kombu.utils.url import maybe_sanitize_url

from dispatch.errors import NotConfigured

SETTING = "DISPATCH_RESULT_BACKEND"

_REDIS = ("redis://", "rediss://", "redis+socket://")
"""Brokers that keep results as well as messages. (A Sentinel needs more settings than its address.)"""


class Store:
    """Says which backend keeps the results of a task of ours. The user's `app.conf` is read, never written."""

    def __init__(self, result_backend: str | None = None) -> None:
        """`result_backend` is for apps that have none; without it, a Redis broker is. Raises `NotConfigured`."""
        if _is_rpc(result_backend):
            raise NotConfigured(_no_rpc(f"{SETTING}={_shown(result_backend)}"))
        self._fallback = result_backend
        self._given: dict[int, Backend] = {}
        """By the id of the app, which the backend keeps alive."""

    def refuse_what_cannot_answer(self, app: Celery) -> None:
        """Raises `NotConfigured` for an app whose backend is `rpc://`, as far as the app knows its settings by now.

        An app that has not read its configuration is not made to: this may run while the very module that
        holds the configuration is being imported. `of` asks again.
        """
        known = app.conf if app.configured else app.__reduce_keys__()["changes"]
        backend = os.environ.get("CELERY_RESULT_BACKEND") or known.get("result_backend")
        if _is_rpc(backend):
            raise NotConfigured(_no_rpc(f"result_backend={_shown(backend)!r} of {app}"))

    def of(self, app: Celery) -> Backend:
        """The backend: Celery's `DisabledBackend` where there is none. Raises `NotConfigured` if it cannot do."""
        own = app.backend
        if not isinstance(own, DisabledBackend):
            self.refuse_what_cannot_answer(app)
            return own
        given = self._given.get(id(app))
        if given is None:
            url = self._fallback or _redis_broker(app)
            # Two threads may make one each; the first stays.
            given = self._given.setdefault(id(app), own if url is None else _made(app, url))
        return given

    def kept(self, app: Celery) -> bool:
        """Whether results are kept at all."""
        return not isinstance(self.of(app), DisabledBackend)


def _made(app: Celery, url: str) -> Backend:
    try:
        backend, address = by_url(url, app.loader)
        return backend(app=app, url=address)
    except (ImproperlyConfigured, ImportError, ValueError) as error:
        raise NotConfigured(
            f"no results can be kept where the broker is or {SETTING} says: {error}. Set {SETTING}, "
            "for example to redis://localhost/1, or give the Celery app a result_backend"
        ) from error


def _redis_broker(app: Celery) -> str | None:
    """The broker's address, when it is a Redis; the first of several."""
    said: Any = app.conf.broker_write_url or app.conf.broker_url
    first = said[0] if isinstance(said, list | tuple) and said else said
    url = str(first or "").split(";")[0]
    return url if url.startswith(_REDIS) else None


def _is_rpc(backend: Any) -> bool:
    return isinstance(backend, str) and backend.partition(":")[0] == "rpc"


def _shown(url: Any) -> str:
    """Without the password."""
    return str(maybe_sanitize_url(url))


def _no_rpc(what: str) -> str:
    return (
        f"{what}: replies over rpc:// reach only the thread that published the call. "
        f"Use a result backend that keeps results, such as redis:// (in the app, or as {SETTING})"
    )
