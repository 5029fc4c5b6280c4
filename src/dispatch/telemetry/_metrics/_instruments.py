"""A meter's instruments, made as the table of metrics says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from dispatch.telemetry._failures import harmless
from dispatch.telemetry._metrics._table import METRICS

Reading = Iterable[tuple[float, Mapping[str, str | bool]]]
"""Values, each with its attributes."""


class Instruments:
    """Of one provider, which keeps them for as long as it lives; `is_over` silences them."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._histograms: dict[str, Histogram] = {}
        self.is_over = False
        """Another provider has taken this one's place."""

    def observe(self, name: str, read: Callable[[], Reading]) -> None:
        """Have `read` asked by whoever collects. What it raises is counted, and means nothing was read."""

        def callback(_: CallbackOptions) -> Iterable[Observation]:
            with harmless:
                if not self.is_over:
                    return [Observation(value, attributes) for value, attributes in read()]
            return []

        metric = METRICS[name]
        make = {
            "counter": self._meter.create_observable_counter,
            "up_down": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[metric.kind]
        make(name, callbacks=[callback], unit=metric.unit, description=metric.description)

    def histogram(self, name: str) -> Histogram:
        """One that advises its boundaries. Twice is once."""
        made = self._histograms.get(name)
        if made is None:
            metric = METRICS[name]
            made = self._histograms[name] = self._meter.create_histogram(
                name,
                unit=metric.unit,
                description=metric.description,
                explicit_bucket_boundaries_advisory=metric.boundaries,
            )
        return made
