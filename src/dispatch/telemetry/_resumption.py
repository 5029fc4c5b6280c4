"""A call that was kept on disk goes on in the trace in which it was made."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.trace import format_trace_id, get_current_span

from dispatch._call import Call
from dispatch.telemetry._dispatch_span import Remote
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener


def resume(call: Call, headers: Mapping[str, str]) -> None:
    """Have the span of its run belong to the span that the headers name. Never raises."""
    with harmless:
        span = get_current_span(propagate.extract(headers, Context()))
        if listener.current() is not None and span.get_span_context().is_valid:
            call.span = Remote(span)


def trace_id(headers: Mapping[str, str]) -> str:
    """The trace that the headers name, in hexadecimal; empty where they name none. Never raises."""
    with harmless:
        context = get_current_span(propagate.extract(headers, Context())).get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else ""
    return ""
