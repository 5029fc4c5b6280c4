"""Starting a span about a call: whether it is sampled comes first, and what it says is put into words last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, Tracer

from dispatch.telemetry._account import Account
from dispatch.telemetry._listener import listener


def start_span(
    tracer: Tracer,
    name: str,
    parent: SpanContext,
    context: Context | None,
    *,
    date: int,
    links: Sequence[Link] = (),
    account: Callable[[], Account],
) -> tuple[Span, Account | None]:
    """A span that began at `date`, and the account that it gives: `None` where it is not recorded.

    `parent` is what is current in `context`.
    """
    light = listener.light
    if light is tracer and light.is_valid and not links:
        made = light.conceive(parent)
        if not made.trace_flags.sampled:
            return NonRecordingSpan(made), None
        given = account()
        return light.bear(made, parent, name, attributes=given, start=date), given
    given = account()
    span = tracer.start_span(name, context, attributes=given(), links=links, start_time=date)
    return span, given if span.is_recording() else None
