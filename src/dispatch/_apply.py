"""What `apply_async` may be told, in Celery's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dispatch._call import CallOptions
from dispatch._requirements import Duration
from dispatch._retry import Retry
from dispatch._units import duration_ns

OURS = ("countdown", "eta", "expires", "headers", "ignore_result", "retry", "task_id")
"""Hold on both paths."""

CELERYS = (
    "chain", "chord", "compression", "exchange", "group_id", "link", "link_error", "priority", "queue", "routing_key",
    "serializer",
)  # fmt: skip
"""Mean something to Celery alone, and send the call there."""


def call_options(task: str, options: dict[str, Any]) -> CallOptions | None:
    """The options of one call, checked. Raises `TypeError` for a word that neither path knows."""
    if not options:
        return None
    unknown = sorted(set(options) - set(OURS) - set(CELERYS))
    if unknown:
        raise TypeError(
            f"{task}.apply_async does not take {', '.join(unknown)}. It takes the requirements (durability, "
            f"latency_budget, only, route_to), {', '.join(OURS)}, and Celery's own {', '.join(CELERYS)}."
        )
    expires, headers = options.get("expires"), options.get("headers")
    task_id = options.get("task_id")
    if task_id is not None and not (isinstance(task_id, str) and task_id):
        raise TypeError(f"task_id={task_id!r} is no id: it takes text")
    if headers is not None and not (isinstance(headers, dict) and all(isinstance(each, str) for each in headers)):
        raise TypeError(f"headers={headers!r} are no headers: they take a dict with text for keys")
    retry = options.get("retry")
    if retry is not None and not isinstance(retry, Retry | bool):
        raise TypeError(f"retry={retry!r}: it takes a dispatch.Retry, such as dispatch.Retry(attempts=5)")
    if options.get("countdown") is not None and options.get("eta") is not None:
        raise TypeError("countdown= and eta= both say when the call may start: drop one")
    delay = options.get("eta") if options.get("countdown") is None else options["countdown"]
    return CallOptions(
        task_id=task_id,
        headers=headers,
        ignore_result=options.get("ignore_result"),
        expires_ns=None if expires is None else _from_now_ns(expires),
        delay_ns=None if delay is None else _from_now_ns(delay),
        # Celery's own meaning of a bool, whether to publish again, is the destination's `publish_deadline` here.
        retry=retry if isinstance(retry, Retry) else None,
        celery={name: options[name] for name in CELERYS if options.get(name) is not None},
    )


def _from_now_ns(expires: Duration | datetime) -> int:
    """Nanoseconds from now: a date, or a duration; what is past already expires at once."""
    if isinstance(expires, str):
        return duration_ns(expires)
    if isinstance(expires, datetime):
        expires = expires - datetime.now(expires.tzinfo or UTC).replace(tzinfo=expires.tzinfo)
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else float(expires)
    return max(0, round(seconds * 1e9))
