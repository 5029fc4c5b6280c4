"""What a trace costs a call in this process, at every price that there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.util._once import Once

from benchmarks import shop
from benchmarks.case import Bar, Case, results, to_result
from dispatch import telemetry
from dispatch.settings import Settings

EXECUTED = "ThreadPoolExecutor, beside traces"
NOBODY = "local, no SDK"
UNSAMPLED = "local, unsampled"
SDK = "local, traced by the SDK's spans"
LIGHT = "local, traced by light spans"
RECORDER = "the recorder alone"

BARS = (
    Bar(NOBODY, 0.35, EXECUTED),
    Bar(UNSAMPLED, 0.8, EXECUTED),
    Bar(SDK, 2.5, EXECUTED),
    Bar(LIGHT, 1.0, EXECUTED),
    Bar(RECORDER, 0.08, EXECUTED),
)

_CALLS = 10_000


class Nowhere(SpanExporter):
    """Takes spans and forgets them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the SDK's signature
        return SpanExportResult.SUCCESS


class OwnProcessor(BatchSpanProcessor):
    """One of the application's own: nobody knows what it does, and the spans that it gets are the SDK's."""


@contextmanager
def cases() -> Iterator[list[Case]]:
    providers = {
        NOBODY: None,
        UNSAMPLED: _provider(BatchSpanProcessor, sampler=ParentBased(ALWAYS_OFF)),
        SDK: _provider(OwnProcessor),
        LIGHT: _provider(BatchSpanProcessor),
    }
    try:
        with ThreadPoolExecutor() as executor:

            def submit(count: int) -> list[Any]:
                return [executor.submit(shop.routed.spec.function, i, i) for i in range(count)]

            yield [
                Case(name=EXECUTED, count=_CALLS, take=to_result(submit, results)),
                *(_traced(name, provider, "compact") for name, provider in providers.items()),
                *(_traced(f"{name}, full", providers[name], "full") for name in (SDK, LIGHT)),
                Case(name=RECORDER, count=_CALLS, take=_record),
            ]
    finally:
        for provider in filter(None, providers.values()):
            provider.shutdown()
        _put_in_place(None, Settings())


def _traced(name: str, provider: TracerProvider | None, detail: str) -> Case:
    send = to_result(lambda count: [shop.routed.delay(i, i) for i in range(count)], results)

    def take(count: int) -> float:
        _put_in_place(provider, Settings(trace_detail=detail))
        took = send(count)
        if provider is not None:
            provider.force_flush()  # what waits for the exporter must not hold up the next case
        _put_in_place(None, Settings())
        return took

    return Case(name=name, count=_CALLS, take=take)


def _record(count: int) -> float:
    call = shop.routed.delay(1, 1)._call  # noqa: SLF001 - what the call itself does when it ends
    began = perf_counter()
    for _ in range(count):
        call.record(None)
    return perf_counter() - began


def _provider(kind: type[BatchSpanProcessor], **words: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **words)
    provider.add_span_processor(kind(Nowhere(), max_queue_size=32_768))
    return provider


def _put_in_place(provider: TracerProvider | None, settings: Settings) -> None:
    # A process chooses its provider once; cases that take turns choose again.
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = provider, Once()  # noqa: SLF001
    telemetry.follow(settings)
