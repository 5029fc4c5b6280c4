"""Switching traces on, for applications. A library never does this: it uses whatever the application has set up."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider

from dispatch._log import logger
from dispatch.settings import Settings
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener


class _Ours:
    """The provider that `setup` put in place in this process, and that it has to shut down."""

    __slots__ = ("provider",)

    def __init__(self) -> None:
        self.provider: trace.TracerProvider | None = None

    def shut_down(self) -> None:
        provider, self.provider = self.provider, None
        with harmless:
            if provider is not None:
                provider.shutdown()  # type: ignore[attr-defined]  # the SDK's; the API promises none

    def __bool__(self) -> bool:
        return self.provider is not None


_ours = _Ours()
# At import, hence run late: dispatchers are made afterwards, and the calls they finish at exit still leave spans.
atexit.register(_ours.shut_down)


def setup(*, service: str | None = None, directory: str | Path | None = None, files: bool = True) -> bool:
    """Record spans in this process and its forked children; True when this call put that in place.

    Spans go as OTLP JSON lines to a file per process in `directory` (default: `DISPATCH_TRACE_DIR`, else `traces`),
    unless `files=False`; `dispatch traces` reads them. They also go where the standard variables say:
    `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_TRACES_EXPORTER=otlp` (over HTTP, with the extra `otlp`), or `console`.
    `service` names the application, unless `OTEL_SERVICE_NAME` already does. What is still held is written at exit.

    Does nothing when traces are off (`DISPATCH_TELEMETRY=off`, `OTEL_SDK_DISABLED=true`,
    `OTEL_TRACES_EXPORTER=none`), and says so and does nothing when a tracer provider is already in place.
    """
    log = logger("telemetry")
    if listener.muted or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get("OTEL_CONFIG_FILE"):
        log.warning("OTEL_CONFIG_FILE says how to trace; dispatch.telemetry.setup() leaves it at that")
        return False
    exporters = _exporters()
    if "none" in exporters:
        return False
    if not isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
        if not _ours:
            log.warning("a tracer provider is already set; dispatch uses it, and writes no trace files of its own")
        return False

    # Here and not on top: the SDK costs 30 ms to import, and only applications that trace need it.
    from dispatch.telemetry._provider import build  # noqa: PLC0415 - see above

    home = Path(directory) if directory is not None else Settings().trace_dir
    _ours.provider = build(service=service, directory=home if files else None, exporters=exporters)
    trace.set_tracer_provider(_ours.provider)
    listener.look()
    return True


def _exporters() -> set[str]:
    """What the environment asks for, beside our files."""
    text = os.environ.get("OTEL_TRACES_EXPORTER", "")
    named = {each.strip().lower() for each in text.split(",")} - {""}
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if not named and any(os.environ.get(each) for each in endpoints):
        return {"otlp"}
    return named
