"""The meter provider that `setup` puts in place."""

from __future__ import annotations

import os
from multiprocessing import util
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from dispatch.telemetry._otlp import otlp_exporter
from dispatch.telemetry._resource import resource_of
from dispatch.telemetry._signal import METRICS


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
    util.register_after_fork(provider, _flush_when_this_child_ends)
    return provider


def _flush_when_this_child_ends(provider: MeterProvider) -> None:
    """`multiprocessing` ends its children without atexit, but runs their finalizers."""
    util.Finalize(None, provider.force_flush, exitpriority=0)


class MetricsByOtlp(MetricExporter):
    """An exporter in each process: a forked child would speak on its parent's connection, in between its words."""

    def __init__(self, first: MetricExporter) -> None:
        # The reader asks its exporter for them: it is the exporter that reads the environment.
        super().__init__(
            preferred_temporality=first._preferred_temporality,  # noqa: SLF001 - see above
            preferred_aggregation=first._preferred_aggregation,  # noqa: SLF001 - see above
        )
        self._exporters: dict[int, MetricExporter | None] = {os.getpid(): first}
        """By pid. The parent's is kept in a child, where closing it would be heard at the other end."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        exporter = self._here()
        if exporter is None:
            return MetricExportResult.FAILURE
        return exporter.export(metrics_data, timeout_millis=timeout_millis, **more)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back here: `export` has sent when it returns."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        exporter = self._exporters.get(os.getpid())
        if exporter is not None:
            exporter.shutdown(timeout_millis=timeout_millis, **more)

    def _here(self) -> MetricExporter | None:
        # One thread at a time exports: the reader sees to that.
        pid = os.getpid()
        if pid not in self._exporters:
            self._exporters[pid] = otlp_exporter(METRICS)
        return self._exporters[pid]
