"""Spans to a file, for applications that build their own tracer provider; `setup()` does it for the others."""

from dispatch.telemetry._export._json_lines import JsonLinesExporter

__all__ = ["JsonLinesExporter"]
