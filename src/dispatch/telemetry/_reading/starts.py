"""How long calls took to start, beside what was predicted: what the latency budget's ranking is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dispatch.telemetry._reading.call_record import CallRecord
from dispatch.telemetry._reading.histogram import Histogram


class Starts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The calls of one destination. Times are microseconds, from the decision to the task's first line.

    Percentiles are of the calls that say, right but for one percent; `None` when none does.
    """

    destination: str | None
    """`None`: calls that no destination took."""
    transport: str | None
    calls: int
    failed: int
    started: int
    """Calls whose start is known."""
    start_median_us: float | None
    start_p99_us: float | None
    predicted: int
    """Of those, calls whose start had been predicted, since a budget ranked the candidates."""
    predicted_median_us: float | None
    error_p10_us: float | None
    """What it took less what was predicted: negative where the call started sooner."""
    error_median_us: float | None
    error_p90_us: float | None
    error_p99_us: float | None
    late: int
    """Of the started, calls that had a budget and started after it."""


def starts(calls: Iterable[CallRecord]) -> list[Starts]:
    """One row for each destination, the busiest first."""
    rows: dict[tuple[str | None, str | None], StartsRow] = {}
    for call in calls:
        row = rows.setdefault((call.destination, call.transport), StartsRow())
        row.add(
            failed=call.error is not None,
            start=call.actual_start_us,
            predicted=call.predicted_start_us,
            budget=call.latency_budget_us,
        )
    return summed(rows)


class StartsRow:
    """What is kept of a destination's calls: no more for a million of them than for a thousand."""

    def __init__(self) -> None:
        self.calls = self.failed = self.late = 0
        self.starts = Histogram()
        self.predictions = Histogram()
        self.errors = Histogram()

    def add(self, *, failed: bool, start: float | None, predicted: float | None, budget: float | None) -> None:
        self.calls += 1
        self.failed += failed
        if start is None:
            return
        self.starts.add(start)
        self.late += budget is not None and start > budget
        if predicted is not None:
            self.predictions.add(predicted)
            self.errors.add(start - predicted)

    def merge(self, other: StartsRow) -> None:
        """Count all of `other` too."""
        self.calls += other.calls
        self.failed += other.failed
        self.late += other.late
        self.starts.merge(other.starts)
        self.predictions.merge(other.predictions)
        self.errors.merge(other.errors)


def summed(rows: Mapping[tuple[str | None, str | None], StartsRow]) -> list[Starts]:
    """`rows` by destination and transport, the busiest first."""
    return sorted((_summed(row, *where) for where, row in rows.items()), key=lambda each: -each.calls)


def _summed(row: StartsRow, destination: str | None, transport: str | None) -> Starts:
    return Starts(
        destination=destination,
        transport=transport,
        calls=row.calls,
        failed=row.failed,
        started=row.starts.count,
        start_median_us=row.starts.quantile(0.5),
        start_p99_us=row.starts.quantile(0.99),
        predicted=row.errors.count,
        predicted_median_us=row.predictions.quantile(0.5),
        error_p10_us=row.errors.quantile(0.1),
        error_median_us=row.errors.quantile(0.5),
        error_p90_us=row.errors.quantile(0.9),
        error_p99_us=row.errors.quantile(0.99),
        late=row.late,
    )
