"""Whether the time of a call has run out, by the date in its message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from celery.utils.time import maybe_iso8601, maybe_make_aware


def expires_within(app: Celery, request: Any, seconds: float) -> bool:
    """Whether a call that starts in so many seconds starts after its `expires`."""
    if request.expires is None:
        return False
    expires = maybe_make_aware(maybe_iso8601(request.expires), app.timezone)
    return bool(datetime.now(UTC) + timedelta(seconds=seconds) > expires)
