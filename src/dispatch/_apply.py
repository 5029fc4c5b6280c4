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
    task_id, headers = options.get("task_id"), options.get("headers")
    if task_id is not None and not (isinstance(task_id, str) and task_id):
        raise TypeError(f"task_id={task_id!r} is no id: it takes text")
    if headers is not None and not (isinstance(headers, dict) and all(isinstance(each, str) for each in headers)):
        raise TypeError(f"headers={headers!r} are no headers: they take a dict with text for keys")
    retry = options.get("retry")
    if retry is not None and not isinstance(retry, Retry | bool):
        raise TypeError(f"retry={retry!r}: it takes a dispatch.Retry, such as dispatch.Retry(attempts=5)")
    if options.get("countdown") is not None and options.get("eta") is not None:
        raise TypeError("countdown= and eta= both say when the call may start: drop one")
    delay = "eta" if options.get("countdown") is None else "countdown"
    return CallOptions(
        task_id=task_id,
        headers=headers,
        ignore_result=options.get("ignore_result"),
        expires_ns=_from_now_ns("expires", options.get("expires")),
        delay_ns=_from_now_ns(delay, options.get(delay)),
        # Celery's own meaning of a bool, whether to publish again, is the destination's `publish_deadline` here.
        retry=retry if isinstance(retry, Retry) else None,
        celery={name: options[name] for name in CELERYS if options.get(name) is not None},
    )


def _from_now_ns(word: str, moment: Duration | datetime | None) -> int | None:
    """Nanoseconds from now: a date, or a duration; what is past already is now.

    Raises `TypeError` naming the option for what is neither.
    """
    if moment is None:
        return None
    try:
        if isinstance(moment, str):
            return duration_ns(moment)
        if isinstance(moment, datetime):
            moment = moment - datetime.now(moment.tzinfo or UTC).replace(tzinfo=moment.tzinfo)
        seconds = moment.total_seconds() if isinstance(moment, timedelta) else float(moment)
        return max(0, round(seconds * 1e9))
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"{word}={moment!r}: it takes seconds, text such as '1m30s', a timedelta or a datetime"
        ) from None
