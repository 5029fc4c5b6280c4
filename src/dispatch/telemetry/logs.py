"""The trace and the call on every log line that a task writes: for structlog, and for the standard library's logging.

They are looked up when a line is written. Without either of these, a call does not pay for them.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from dispatch._log import also
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._running import running_here

__all__ = ["CallFilter", "add_call"]

_CALL, _TASK = "dispatch_call_id", "dispatch_task"
_KEYS = ("trace_id", "span_id", _CALL, _TASK)


def add_call(_logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: adds `trace_id` and `span_id` in hexadecimal where a span is current, and in the body of
    a task `dispatch_call_id` and `dispatch_task`.

    What an event says already stays; of an event that names another call, nothing is said. Never raises.
    """
    facts = _facts()
    if any(event_dict.get(key, facts[key]) != facts[key] for key in (_CALL, _TASK) if key in facts):
        return event_dict
    for key, value in facts.items():
        event_dict.setdefault(key, value)
    return event_dict


class CallFilter(logging.Filter):
    """Gives every record the attributes `trace_id`, `span_id`, `dispatch_call_id` and `dispatch_task`, empty where
    there is no such thing, so that a format can name them. Lets every record pass, and never raises.

    Belongs on a handler, which sees the records of all loggers; on the `QueueHandler`, where there is one, since what
    stands behind it runs in another thread.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        facts = _facts()
        for key in _KEYS:
            if not hasattr(record, key):
                setattr(record, key, facts.get(key, ""))
        return True


def _facts() -> dict[str, str]:
    facts = {}
    with harmless:
        context = get_current_span().get_span_context()
        if context.is_valid:
            facts["trace_id"], facts["span_id"] = format_trace_id(context.trace_id), format_span_id(context.span_id)
    with harmless:
        call = running_here()
        if call is not None:
            facts[_CALL], facts[_TASK] = call
    return facts


also(add_call)
