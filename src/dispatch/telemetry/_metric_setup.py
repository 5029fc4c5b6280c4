"""Switching metrics on, for applications: `setup()` does it where OpenTelemetry's own variables ask for them."""

from __future__ import annotations

import atexit
from typing import Any

from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry._meter import meter_provider
from dispatch.telemetry._signal import METRICS

_ours: list[Any] = []
"""The provider that was put in place in this process, and has to be shut down."""


def set_up_metrics(service: str | None) -> None:
    """Put a meter provider in place, unless there is one, or nobody wants any."""
    if listener.settings.metrics == "off" or meter_provider() is not None:
        return
    exporters = METRICS.exporters(files=False)
    if not exporters or "none" in exporters:
        return

    # Here and not on top: the SDK costs 30 ms to import, and only applications that measure need it.
    from opentelemetry import metrics  # noqa: PLC0415 - see above

    from dispatch.telemetry._metric_provider import build_meter_provider  # noqa: PLC0415 - see above

    provider = build_meter_provider(service=service, exporters=exporters)
    if provider is not None:
        _ours.append(provider)
        metrics.set_meter_provider(provider)
        listener.look()


def _shut_down() -> None:
    while _ours:
        with harmless:
            _ours.pop().shutdown()


# At import, hence run late: dispatchers are made afterwards, and the calls they finish at exit are still counted.
atexit.register(_shut_down)
