"""Beside the suite: the task is in its caller's trace. It needs an SDK, which the suite itself does not ask for."""

from __future__ import annotations

from opentelemetry import trace

import dispatch
from telemetry.handmade import Spans, provider_in_place

SOURCE = """
@dispatch.task(name="conformance.trace")
def current_trace() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")
"""
"""The same task, for a worker's module."""


@dispatch.task(name="conformance.trace")
def current_trace() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


class InTrace:
    """Part of what every transport passes."""

    def test_the_task_is_in_its_callers_trace(self, dispatcher):
        """What is current where it runs belongs to the trace in which the call was made."""
        spans = Spans()
        with provider_in_place(spans.provider), spans.tracer().start_as_current_span("caller") as span:
            there = current_trace.using(dispatcher).delay().result(30)
        spans.provider.shutdown()

        assert there == format(span.get_span_context().trace_id, "032x")
