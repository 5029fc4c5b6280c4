"""The tracer provider that `setup` puts in place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
    OTEL_TRACES_SAMPLER,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBasedTraceIdRatio, Sampler

from dispatch._log import logger
from dispatch._units import size
from dispatch.settings import Settings
from dispatch.telemetry._export._children import OnePerProcess, flush_when_children_end
from dispatch.telemetry._export._json_lines import JsonLinesExporter
from dispatch.telemetry._export._otlp import otlp_exporter
from dispatch.telemetry._export._resource import resource_of
from dispatch.telemetry._export._signal import FILES, TRACES

_SCHEDULE_MS = 500
"""The SDK's 5 s would let a person wait for the trace they just made, and a killed process lose more of them."""

_QUEUE_SIZE = 32_768
"""The SDK's 2048 is a tenth of a second of local calls; what does not fit is dropped, oldest first."""

_BATCH_SIZE = 512
"""The SDK's."""


def build(*, service: str | None, directory: Path, exporters: frozenset[str], settings: Settings) -> TracerProvider:
    """A provider with a processor per exporter; not yet the global one, and shut down by whoever asked for it."""
    resource = resource_of(service)
    # Limits are left to the SDK, which asks the environment.
    provider = TracerProvider(resource=resource, sampler=_sampler(settings.trace_ratio), shutdown_on_exit=False)
    if FILES in exporters:
        provider.add_span_processor(_batching(_files(directory, resource, settings)))
    if "console" in exporters:
        provider.add_span_processor(_batching(ConsoleSpanExporter()))
    if "otlp" in exporters and (otlp := otlp_exporter(TRACES)) is not None:
        provider.add_span_processor(_batching(SpansByOtlp(otlp)))
    flush_when_children_end(provider)
    return provider


def _sampler(ratio: float) -> Sampler | None:
    """Of new traces, `ratio`; of those that began elsewhere, what was decided there. `None`: the SDK reads its own."""
    if os.environ.get(OTEL_TRACES_SAMPLER):
        return None
    return DEFAULT_ON if ratio == 1 else ParentBasedTraceIdRatio(ratio)


def _files(directory: Path, resource: Resource, settings: Settings) -> SpanExporter:
    return JsonLinesExporter(
        directory,
        service=str(resource.attributes.get(SERVICE_NAME)),
        max_bytes=size(settings.trace_file_size),
        keep=settings.trace_files,
        max_directory_bytes=size(settings.trace_dir_size),
    )


def _batching(exporter: SpanExporter) -> BatchSpanProcessor:
    try:
        return BatchSpanProcessor(
            exporter,
            # What the environment says, the SDK reads itself.
            max_queue_size=None if os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) else _QUEUE_SIZE,
            schedule_delay_millis=None if os.environ.get(OTEL_BSP_SCHEDULE_DELAY) else _SCHEDULE_MS,
        )
    except ValueError as error:
        # A queue that is smaller than a batch, or a number that is none.
        logger("telemetry").warning("what OTEL_BSP_… says cannot be used, and is overlooked", error=str(error))
        return BatchSpanProcessor(exporter, _QUEUE_SIZE, _SCHEDULE_MS, _BATCH_SIZE)


class SpansByOtlp(SpanExporter):
    """As the exporter that is made first, in each process with one of its own."""

    def __init__(self, first: SpanExporter) -> None:
        self._exporters = OnePerProcess(TRACES, first)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        exporter: SpanExporter | None = self._exporters.here()
        return SpanExportResult.FAILURE if exporter is None else exporter.export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back here: `export` has sent when it returns."""
        return True

    def shutdown(self) -> None:
        self._exporters.shut_down()
