"""A small application that traces, and what it left."""

from __future__ import annotations

from dispatch.telemetry.traces import read

ONE_SPAN = """
    from dispatch import telemetry
    from opentelemetry import trace
    print("set up:", telemetry.setup(service="shop"))
    trace.get_tracer("test").start_span("one").end()
    """


def spans_in(place) -> list[str]:
    return sorted(span.name for trace in read(place) for span in trace.spans)
