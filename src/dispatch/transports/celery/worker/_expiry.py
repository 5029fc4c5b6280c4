"""Calls whose time has run out, by the date in their message.

Celery looks at it before it gives a call to its pool. There it may wait for others, and for a ledger that is silent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery, signals
from celery.app.task import get_actual_ignore_result
from celery.utils.time import maybe_iso8601, maybe_make_aware


def expires_within(app: Celery, request: Any, seconds: float) -> bool:
    """Whether a call that starts in so many seconds starts after its `expires`."""
    if request.expires is None:
        return False
    expires = maybe_make_aware(maybe_iso8601(request.expires), app.timezone)
    return bool(datetime.now(UTC) + timedelta(seconds=seconds) > expires)


def store_expired(task: Any, request: Any) -> None:
    """Have whoever waits for the call hear that it expired, as Celery does for one that it throws away."""
    wanted = not get_actual_ignore_result(task, request)
    task.backend.mark_as_revoked(request.id, "expired", request=request, store_result=wanted)
    signals.task_revoked.send(sender=task, request=request, terminated=False, signum=None, expired=True)
