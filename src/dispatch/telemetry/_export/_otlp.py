"""OpenTelemetry's own OTLP exporters, which come with the extra `otlp`. They read the environment themselves."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dispatch._log import logger
from dispatch.telemetry._export._signal import METRICS, TRACES, Signal

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
