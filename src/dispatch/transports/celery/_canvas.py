"""What Celery sends by itself: canvas, callbacks, beat. The trace of whoever sends it goes along."""

from __future__ import annotations

from typing import Any

from dispatch import telemetry
from dispatch.telemetry import messages

_TRACE = "dispatch_trace"
"""In a worker's request: what was current where the body ran. Its successors are sent once that has ended."""


def remember(request: Any, trace: telemetry.Execution | None) -> None:
    """Keep what is current now for what is sent when the call of this request has run."""
    if trace is not None:
        setattr(request, _TRACE, trace.context)


def apply_async(task: Any, args: Any = None, kwargs: Any = None, *others: Any, **options: Any) -> Any:
    """Celery's own, as a method of our tasks. A message that carries a trace already is left alone."""
    sender = task.app.current_worker_task
    request = None if sender is None else sender.request
    headers = options.get("headers") or {}
    trace = messages.joining(getattr(request, _TRACE, None), getattr(request, "headers", None) or {})
    if trace and not trace.keys() & headers.keys():
        options["headers"] = trace | headers
    return super(type(task), task).apply_async(args, kwargs, *others, **options)
