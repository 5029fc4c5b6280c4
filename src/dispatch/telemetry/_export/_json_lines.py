"""Spans to files, as OTLP JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dispatch.telemetry._export._file import TraceFile
from dispatch.telemetry._export._otlp_lines import lines
from dispatch.telemetry._failures import harmless


class JsonLinesExporter(SpanExporter):
    """Writes OTLP JSON lines, files of this process, readable by their owner alone.

    Each line is a whole `ExportTraceServiceRequest`: `dispatch traces`, Jaeger's upload, the collector's file
    receiver and any `POST /v1/traces` take it as it is. Put it behind a `BatchSpanProcessor`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        service: str | None = None,
        max_bytes: int = 16 << 20,
        keep: int = 8,
        max_directory_bytes: int = 1 << 30,
    ) -> None:
        """`directory` is made at the first write; `service` becomes part of the file's name.

        A file is rotated before it grows over `max_bytes`, and of each process the last `keep` files stay. Beyond
        `max_directory_bytes`, or a thousand files, the oldest files of processes that have ended are removed.
        Raises `ValueError` where one of them is not above 0.
        """
        bounds = {"max_bytes": max_bytes, "keep": keep, "max_directory_bytes": max_directory_bytes}
        for name, bound in bounds.items():
            if bound < 1:
                raise ValueError(f"{name} must be above 0, and is {bound}")
        self._file = TraceFile(
            Path(directory),
            service or "unknown",
            max_bytes=max_bytes,
            keep=keep,
            max_folder_bytes=max_directory_bytes,
        )
        self._closed = False

    @property
    def path(self) -> Path | None:
        """The file that this process writes to now; `None` before its first write."""
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
