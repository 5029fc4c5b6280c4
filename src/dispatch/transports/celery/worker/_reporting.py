"""The backend of our tasks in a worker: the app's own, which stores with each result when its call began to run.

Celery has no room for that in a result, and takes no notice of what stands there beside its own words. The app's
backend itself is left alone: what is given to our tasks is a second object that shares all of its state.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from celery.backends.base import Backend, BaseKeyValueStoreBackend

from dispatch._clock import ticks, wall
from dispatch.telemetry import messages
from dispatch.transports.celery._report import REPORT, Report

_BEGUN = "dispatch_begun"
"""In the request: how long the call has waited, and the `ticks` at which it began to run."""


def begin(request: Any) -> None:
    """Note that the call of this request begins to run, now. Its first attempt alone: others wait for other reasons."""
    sent = None if request.retries else messages.sent_at(request.headers or {})
    if sent is not None:
        setattr(request, _BEGUN, (wall() - sent, ticks()))


def reporting(backend: Backend) -> Backend:
    """`backend` for our tasks. One that does not keep text has columns of its own, and is left as it is."""
    if not isinstance(backend, BaseKeyValueStoreBackend):
        return backend
    made = _made.get(backend)
    if made is None:
        kind = type(backend)
        made = object.__new__(type(kind.__name__, (_Reporting, kind), {}))
        made.__dict__ = backend.__dict__
        # Two threads may make one each; the first stays.
        made = _made.setdefault(backend, made)
    return made


class _Reporting:
    def _get_result_meta(
        self, result: Any, state: Any, traceback: Any, request: Any, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        above: Any = super()
        meta: dict[str, Any] = above._get_result_meta(result, state, traceback, request, *args, **kwargs)  # noqa: SLF001 - Celery has no other place for it
        begun = getattr(request, _BEGUN, None)
        if begun is not None:
            wait_ns, since = begun
            meta[REPORT] = msgspec.structs.asdict(Report(wait_ns, ticks() - since))
        return meta


_made: WeakKeyDictionary[Backend, Backend] = WeakKeyDictionary()
