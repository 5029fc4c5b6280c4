"""Whose child is whose: every runner of this process, every way in which an application may or may not trace."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, get_current_span

import dispatch
from telemetry.handmade import Spans, provider_in_place

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 1, on_full: caller_runs, capacity: 1}
  cpu: {transport: local, runner: process, workers: 1}
defaults: {durability: ephemeral}
rules:
  - {name: cores, match: {kind: cpu}, route_to: cpu}
otherwise: {route_to: fast}
"""


def _seen() -> list[int | bool]:
    here = get_current_span().get_span_context()
    return [here.trace_id, here.span_id, here.trace_flags.sampled]


@dispatch.task
def in_a_thread() -> list[int | bool]:
    return _seen()


@dispatch.task
async def on_a_loop() -> list[int | bool]:
    await asyncio.sleep(0)
    return _seen()


@dispatch.task(kind="cpu")
def in_a_process() -> list[int | bool]:
    return _seen()


RUNNERS = pytest.mark.parametrize("task", [in_a_thread, on_a_loop, in_a_process], ids=lambda task: task.name)


@pytest.fixture(scope="module")
def dispatcher(tmp_path_factory):
    policy = tmp_path_factory.mktemp("policy") / "policy.yaml"
    policy.write_text(POLICY)
    with dispatch.Dispatcher(policy=policy) as made:
        yield made


@pytest.fixture(params=[True, False], ids=["in a span", "root"])
def around(request):
    """Runs a function inside a span of the application's, or outside of any; gives what it gave, and the span."""

    def run(provider, function):
        if not request.param:
            return function(), None
        with provider.get_tracer("shop").start_as_current_span("request") as span:
            return function(), span.get_span_context()

    return run


@RUNNERS
def test_a_sampled_call_is_one_tree_and_its_body_stands_in_it(dispatcher, around, spans, task):
    """request → dispatch → execute, and `execute` is what is current in the body, in whichever process."""
    (trace_id, span_id, sampled), above = around(spans.provider, lambda: task.using(dispatcher).delay().result(10))

    outer, inner = spans["dispatch"], spans["execute"]
    assert (above and above.span_id) == (outer.parent and outer.parent.span_id)
    assert outer.context.span_id == inner.parent.span_id
    assert {trace_id} == {span.context.trace_id for span in spans.finished}
    assert (inner.context.span_id, True) == (span_id, sampled)


@RUNNERS
@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF)], ids=["never", "by the parent"])
def test_an_unsampled_call_leaves_nothing_and_its_body_is_unsampled_too(dispatcher, around, sampler, task):
    """In the caller's own trace, where there is one."""
    spans = Spans(sampler=sampler)
    with provider_in_place(spans.provider):
        (trace_id, span_id, sampled), above = around(spans.provider, lambda: task.using(dispatcher).delay().result(10))
    assert [] == spans.names
    assert trace_id
    assert span_id
    assert not sampled
    assert above is None or above.trace_id == trace_id


@RUNNERS
def test_without_an_sdk_nothing_is_current_in_the_body(dispatcher, nobody_listens, task):
    """The API's own no-op, as outside of a call."""
    assert [0, 0, False] == task.using(dispatcher).delay().result(10)


@RUNNERS
def test_a_disabled_sdk_is_no_sdk(dispatcher, monkeypatch, task):
    """OTEL_SDK_DISABLED=true."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with provider_in_place(TracerProvider(shutdown_on_exit=False)):
        assert [0, 0, False] == task.using(dispatcher).delay().result(10)


class Stranger(trace.TracerProvider, trace.Tracer):
    """Somebody else's implementation of the API, with nothing of the SDK's in it."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int]] = []

    def get_tracer(self, *args, **kwargs):
        return self

    def start_span(self, name, context=None, kind=SpanKind.INTERNAL, *args, **kwargs):
        above = get_current_span(context).get_span_context()
        self.made.append((name.split()[0], above.span_id))
        made = trace.SpanContext(77, len(self.made), is_remote=False, trace_flags=trace.TraceFlags(1))
        return StrangersSpan(made)

    start_as_current_span = None


class StrangersSpan(trace.NonRecordingSpan):
    def is_recording(self) -> bool:
        return True


@RUNNERS
def test_a_stranger_s_provider_gets_the_same_tree(dispatcher, task):
    """Through the API alone."""
    stranger = Stranger()
    with provider_in_place(stranger):
        current = task.using(dispatcher).delay().result(10)
    assert [("dispatch", 0), ("execute", 1)] == stranger.made
    assert [77, 2, True] == current


def test_a_call_that_runs_in_its_caller_is_the_same_tree(dispatcher, spans):
    """`caller_runs`, when the pool is full."""
    import threading

    entered, go = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        go.wait(10)

    held = dispatch.task(name="telemetry.hold")(hold).using(dispatcher)
    try:
        first = held.delay()
        entered.wait(10)
        second = held.delay()
        with spans.tracer().start_as_current_span("request") as request:
            inline = in_a_thread.using(dispatcher).delay()
            trace_id, span_id, _ = inline.result(10)
            assert request is get_current_span()
    finally:
        go.set()
    first.result(10)
    second.result(10)
    (inner,) = [each for each in spans.finished if each.name == f"execute {in_a_thread.name}"]
    (outer,) = [each for each in spans.finished if each.name == f"dispatch {in_a_thread.name}"]
    assert ("inline", "inline") == (inner.attributes["dispatch.transport"], outer.attributes["dispatch.transport"])
    assert request.get_span_context().span_id == outer.parent.span_id
    assert outer.context.span_id == inner.parent.span_id
    assert (inner.context.trace_id, inner.context.span_id) == (trace_id, span_id)


def test_a_clock_that_is_set_back_makes_no_span_end_before_it_began(dispatcher, spans, monkeypatch):
    """The wall clock is read once for all the moments of a call."""
    from itertools import count

    backwards = count(1_000_000_000_000_000_000, -3_600_000_000_000)
    monkeypatch.setattr("dispatch.telemetry._anchor.wall", lambda: next(backwards))
    for _ in range(5):
        in_a_thread.using(dispatcher).delay().result(10)
    assert 10 == len(spans.finished)
    assert all(span.start_time <= span.end_time for span in spans.finished)
