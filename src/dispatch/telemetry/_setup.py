"""Switching traces on, for applications. A library never does this: it uses whatever the application has set up."""

from __future__ import annotations

import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider

from dispatch._log import logger
from dispatch.settings import read_settings
from dispatch.telemetry._export._installed import Installed
from dispatch.telemetry._export._signal import TRACES
from dispatch.telemetry._listener import listener
from dispatch.telemetry._metric_setup import set_up_metrics

_traces = Installed()


def setup(*, service: str | None = None, directory: str | Path | None = None, files: bool = True) -> bool:
    """Record spans in this process and its forked children; True when this call put that in place.

    Spans go as OTLP JSON lines to files in `directory` (default: `DISPATCH_TRACE_DIR`, else `traces`), unless
    `files=False`; `dispatch traces` reads them. They also go to `OTEL_EXPORTER_OTLP_ENDPOINT`, where there is one, with
    the extra `otlp`. `OTEL_TRACES_EXPORTER` has the last word on both. `service` names the application, unless
    `OTEL_SERVICE_NAME` already does. What is still held is written at exit.

    Does nothing when traces are off (`DISPATCH_TELEMETRY=off`, `OTEL_SDK_DISABLED=true`,
    `OTEL_TRACES_EXPORTER=none`), and says so and does nothing when a tracer provider is already in place, or
    `OTEL_CONFIG_FILE` describes one. Raises `NotConfigured` for a setting that cannot be used.
    """
    log = logger("telemetry")
    settings = read_settings()
    if listener.muted or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get("OTEL_CONFIG_FILE"):
        log.warning("OTEL_CONFIG_FILE says how to trace; dispatch.telemetry.setup() leaves it at that")
        return False
    set_up_metrics(service)
    if not isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
        if _traces.provider is None:
            log.warning("a tracer provider is already set; dispatch uses it, and writes no trace files of its own")
        return False
    exporters = TRACES.exporters(files=files)
    if "none" in exporters:
        return False

    # Here and not on top: the SDK costs 30 ms to import, and only applications that trace need it.
    from dispatch.telemetry._export._provider import build  # noqa: PLC0415 - see above

    home = Path(directory) if directory is not None else settings.trace_dir
    _traces.provider = build(service=service, directory=home, exporters=exporters, settings=settings)
    trace.set_tracer_provider(_traces.provider)
    listener.look_twice()
    return True
