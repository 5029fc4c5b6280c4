"""Calls made by hand, and a real SDK that puts its spans where a test can see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._decision import Decision
from dispatch._ids import here
from dispatch._outcome import Success
from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements
from dispatch.telemetry import messages
from dispatch.telemetry._listener import listener
from dispatch.telemetry.traces import CallRecord, Process


@contextmanager
def provider_in_place(provider: trace.TracerProvider | None) -> Iterator[None]:
    """OpenTelemetry lets a process choose its provider once; a test run needs to choose again."""
    kept = trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = provider, Once()
    listener.follow(None)
    try:
        yield
    finally:
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = kept
        listener.follow(None)


class Spans:
    """What an SDK provider has recorded."""

    def __init__(self, **provider) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **provider)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def finished(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.finished]

    def __getitem__(self, first_word: str) -> ReadableSpan:
        [span] = [span for span in self.finished if span.name.split()[0] == first_word]
        return span

    def tracer(self) -> trace.Tracer:
        """Somebody else's instrumentation."""
        return self.provider.get_tracer("shop")


def resize(image: bytes) -> bytes:
    return image


SPEC = TaskSpec(name="shop.resize", function=resize, signature=resize, requirements=Requirements())


def decision(**changes) -> Decision:
    words = {
        "destination": "fast",
        "transport": "local",
        "rule": "otherwise",
        "reason": "otherwise",
        "policy_version": "0123456789ab",
        "durability": "ephemeral",
    }
    return Decision(**{**words, **changes})


def a_call(*, made: Decision | None = None, **changes) -> Call:
    """A call that was entered, decided and enqueued, and that a worker has just taken."""
    now = ticks()
    moments = {"entered": now - 40_000, "decided": now - 38_500, "sent": now - 38_000, "taken": now - 8_000}
    return Call(
        SPEC,
        (),
        {},
        copy_context(),
        made or decision(),
        here.space,
        here.space.number(),
        **{**moments, **changes},
    )


DONE = Success("done")
QUEUE = decision(destination="queue", transport="celery", rule="must-survive", reason="rule", durability="durable")


def run(call, body=lambda: None, outcome=DONE):
    """What a worker does with a call that it took."""

    def work():
        execution = telemetry.executing(call)
        call.started = ticks()
        body()
        call.ended = ticks()
        if execution is not None:
            execution.end(outcome)
        return execution

    return call.context.run(work)


def send(call, passed=None, **where):
    """What the transport and the dispatcher do."""
    publication = messages.publishing(call, **{"queue": "default", "system": "redis", "size": 18, **where})
    publication.end(passed)
    call.sent = ticks()
    telemetry.dispatched(call)
    return publication.headers


def receive(headers, call_id="1", body=lambda: None, outcome=DONE, *, attempt=1, taken=0, **where):
    """What a worker does with the message, in a context where nothing is current."""

    def work():
        execution = messages.processing(
            "shop.charge",
            headers,
            call_id=call_id,
            durability="durable",
            attempt=attempt,
            taken=taken or ticks(),
            **{"queue": "default", "system": "redis", **where},
        )
        body()
        if execution is not None:
            execution.end(outcome)
        return execution

    return Context().run(work)


def a_record(destination: str | None = "fast", **told: Any) -> CallRecord:
    """What a reader of traces makes of one local call."""
    return CallRecord(
        **{
            "trace_id": "1",
            "call_id": "1",
            "task": "t",
            "started_ns": 0,
            "destination": destination,
            "transport": "local",
            "caller": Process("shop"),
            **told,
        }
    )
