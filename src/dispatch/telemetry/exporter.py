"""Spans to a file, for applications that build their own tracer provider; `setup()` does it for the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dispatch.telemetry._failures import harmless
from dispatch.telemetry._file import TraceFile
from dispatch.telemetry._otlp_lines import lines

__all__ = ["JsonLinesExporter"]


class JsonLinesExporter(SpanExporter):
    """Writes OTLP JSON lines, one file per process, readable by its owner alone.

    Each line is a whole `ExportTraceServiceRequest`: `dispatch traces`, Jaeger's upload, the collector's file
    receiver and any `POST /v1/traces` take it as it is. Put it behind a `BatchSpanProcessor`.
    """

    def __init__(self, directory: str | Path, *, service: str | None = None) -> None:
        """`directory` is made at the first write; `service` becomes part of the file's name."""
        self._file = TraceFile(Path(directory), service or "unknown")
        self._closed = False

    @property
    def path(self) -> Path | None:
        """The file of this process; `None` before its first write."""
        return self._file.path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write `spans`. A full or missing disk is counted in `telemetry.failures()`; it costs spans, not calls."""
        if self._closed:
            return SpanExportResult.FAILURE
        with harmless:
            for line in lines(spans):
                self._file.write(line)
            return SpanExportResult.SUCCESS
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back here: `export` has written when it returns."""
        return True

    def shutdown(self) -> None:
        self._closed = True
        self._file.close()
