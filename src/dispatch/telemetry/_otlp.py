"""OpenTelemetry's own OTLP exporters, which come with the extra `otlp`. They read the environment themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dispatch._log import logger
from dispatch.telemetry._signal import METRICS, TRACES, Signal

_EXPORTERS = {TRACES: ("trace_exporter", "OTLPSpanExporter"), METRICS: ("metric_exporter", "OTLPMetricExporter")}
"""Module and class, named alike for both protocols."""


def otlp_exporter(signal: Signal) -> Any | None:
    """The exporter that speaks the protocol asked for; `None`, and a line in the log, where it is not to be had."""
    log = logger("telemetry")
    module, name = _EXPORTERS[signal]
    package = "grpc" if signal.protocol() == "grpc" else "http"
    try:
        return getattr(import_module(f"opentelemetry.exporter.otlp.proto.{package}.{module}"), name)()
    except ImportError:
        log.warning("the environment asks for OTLP, which needs an extra: pip install 'dispatch-router[otlp]'")
    except Exception as error:  # noqa: BLE001 - a variable that makes no sense, a certificate that is not there
        log.warning("what the environment says of OTLP cannot be used; nothing goes there", error=repr(error))
    return None


class SpansByOtlp(SpanExporter):
    """An exporter in each process: a forked child would speak on its parent's connection, in between its words."""

    def __init__(self, first: SpanExporter) -> None:
        self._exporters: dict[int, SpanExporter | None] = {os.getpid(): first}
        """By pid. The parent's is kept in a child, where closing it would be heard at the other end."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        exporter = self._here()
        return SpanExportResult.FAILURE if exporter is None else exporter.export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back here: `export` has sent when it returns."""
        return True

    def shutdown(self) -> None:
        exporter = self._exporters.get(os.getpid())
        if exporter is not None:
            exporter.shutdown()

    def _here(self) -> SpanExporter | None:
        # One thread at a time exports: the batch processor's.
        pid = os.getpid()
        if pid not in self._exporters:
            self._exporters[pid] = otlp_exporter(TRACES)
        return self._exporters[pid]
