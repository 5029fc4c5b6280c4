"""A call that was kept on disk goes on in the trace in which it was made."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import attach
from opentelemetry.trace import format_trace_id, get_current_span

from dispatch._call import Call
from dispatch.telemetry._dispatch_span import Remote
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry.messages._carried import carried


def resume(call: Call, headers: Mapping[str, str]) -> None:
    """Have its run belong to the span that the headers name, whoever made that. Never raises."""
    with harmless:
        context = carried(headers)
        if call.context is not None:
            call.context.run(attach, context)  # with the baggage; and all there is where nobody takes spans
        span = get_current_span(context)
        if listener.current() is not None and span.get_span_context().is_valid:
            call.span = Remote(span)


def trace_id(headers: Mapping[str, str]) -> str:
    """The trace that the headers name, in hexadecimal; empty where they name none. Never raises."""
    with harmless:
        context = get_current_span(carried(headers)).get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else ""
    return ""
