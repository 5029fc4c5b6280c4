"""The meter provider that `setup` puts in place."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from dispatch.telemetry._export._children import OnePerProcess, flush_when_children_end
from dispatch.telemetry._export._otlp import otlp_exporter
from dispatch.telemetry._export._resource import resource_of
from dispatch.telemetry._export._signal import METRICS


def build_meter_provider(*, service: str | None, exporters: frozenset[str]) -> MeterProvider | None:
    """A provider with a reader per exporter, whose interval the SDK asks of the environment; `None`: there is none.

    Not yet the global one, and shut down by whoever asked for it.
    """
    made: list[MetricExporter] = []
    if "console" in exporters:
        made.append(ConsoleMetricExporter())
    if "otlp" in exporters and (otlp := otlp_exporter(METRICS)) is not None:
        made.append(MetricsByOtlp(otlp))
    if not made:
        return None
    readers = [PeriodicExportingMetricReader(exporter) for exporter in made]
    provider = MeterProvider(readers, resource=resource_of(service), shutdown_on_exit=False)
    flush_when_children_end(provider)
    return provider


class MetricsByOtlp(MetricExporter):
    """As the exporter that is made first, in each process with one of its own."""

    def __init__(self, first: MetricExporter) -> None:
        # The reader asks its exporter for them: it is the exporter that reads the environment.
        super().__init__(
            preferred_temporality=first._preferred_temporality,  # noqa: SLF001 - see above
            preferred_aggregation=first._preferred_aggregation,  # noqa: SLF001 - see above
        )
        self._exporters = OnePerProcess(METRICS, first)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        exporter: MetricExporter | None = self._exporters.here()
        if exporter is None:
            return MetricExportResult.FAILURE
        return exporter.export(metrics_data, timeout_millis=timeout_millis, **more)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back here: `export` has sent when it returns."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self._exporters.shut_down(timeout_millis=timeout_millis, **more)
