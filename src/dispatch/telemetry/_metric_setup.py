"""Switching metrics on, for applications: `setup()` does it where OpenTelemetry's own variables ask for them."""

from __future__ import annotations

from dispatch.telemetry._export._installed import Installed
from dispatch.telemetry._export._signal import METRICS
from dispatch.telemetry._listener import listener
from dispatch.telemetry._meter import meter_provider

_metrics = Installed()


def set_up_metrics(service: str | None) -> None:
    """Put a meter provider in place, unless there is one, or nobody wants any."""
    if listener.settings.metrics == "off" or meter_provider() is not None:
        return
    exporters = METRICS.exporters(files=False)
    if not exporters or "none" in exporters:
        return

    # Here and not on top: the SDK costs 30 ms to import, and only applications that measure need it.
    from opentelemetry import metrics  # noqa: PLC0415 - see above

    from dispatch.telemetry._export._metric_provider import build_meter_provider  # noqa: PLC0415 - see above

    provider = build_meter_provider(service=service, exporters=exporters)
    if provider is not None:
        _metrics.provider = provider
        metrics.set_meter_provider(provider)
        listener.look_twice()
