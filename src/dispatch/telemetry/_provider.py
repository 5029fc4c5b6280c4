"""The tracer provider that `setup` puts in place. The only file, with the exporter, that imports the SDK."""

from __future__ import annotations

import os
from multiprocessing import util
from pathlib import Path

from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SERVICE_NAME,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from dispatch._log import logger
from dispatch.telemetry.exporter import JsonLinesExporter

_SCHEDULE_MS = 500
"""The SDK's 5 s would let a person wait for the trace they just made, and a killed process lose more of them."""

_QUEUE_SIZE = 32_768
"""The SDK's 2048 is a tenth of a second of local calls; what does not fit is dropped, oldest first."""


def build(*, service: str | None, directory: Path | None, exporters: set[str]) -> TracerProvider:
    """A provider with a processor per exporter; not yet the global one, and shut down by whoever asked for it."""
    resource = _resource(service)
    # Sampler and limits are left to the SDK, which asks the environment.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if directory is not None:
        _add(provider, JsonLinesExporter(directory, service=str(resource.attributes.get(SERVICE_NAME))))
    if "console" in exporters:
        _add(provider, ConsoleSpanExporter())
    if "otlp" in exporters and (otlp := _otlp()) is not None:
        _add(provider, otlp)
    for name in sorted(exporters - {"otlp", "console"}):
        logger("telemetry").warning("OTEL_TRACES_EXPORTER is not known here: use otlp, console or none", got=name)
    util.register_after_fork(provider, _flush_when_this_child_ends)
    return provider


def _flush_when_this_child_ends(provider: TracerProvider) -> None:
    """`multiprocessing` ends its children without atexit, but runs their finalizers."""
    util.Finalize(None, provider.force_flush, exitpriority=0)


def _resource(service: str | None) -> Resource:
    named = os.environ.get(OTEL_SERVICE_NAME) or f"{SERVICE_NAME}=" in os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
    # What is passed here would win over the environment, and the operator has the last word.
    return Resource.create({SERVICE_NAME: service} if service and not named else {})


def _add(provider: TracerProvider, exporter: SpanExporter) -> None:
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=None if OTEL_BSP_MAX_QUEUE_SIZE in os.environ else _QUEUE_SIZE,
            schedule_delay_millis=None if OTEL_BSP_SCHEDULE_DELAY in os.environ else _SCHEDULE_MS,
        )
    )


def _otlp() -> SpanExporter | None:
    log = logger("telemetry")
    protocol = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL) or os.environ.get(OTEL_EXPORTER_OTLP_PROTOCOL)
    if protocol not in (None, "", "http/protobuf"):
        log.warning("this OTEL_EXPORTER_OTLP_PROTOCOL is not supported; spans go as http/protobuf", got=protocol)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
    except ImportError:
        log.warning("the environment asks for OTLP, which needs an extra: pip install 'dispatch-router[otlp]'")
        return None
    return OTLPSpanExporter()
