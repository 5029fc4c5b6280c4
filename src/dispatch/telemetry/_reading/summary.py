"""What a path costs: calls counted by where they went and which rule sent them."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import msgspec

from dispatch.telemetry._reading.call_record import CallRecord


class Summary(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The calls of one destination and rule. Percentiles are of the calls that say; `None` when none does."""

    destination: str | None
    """`None`: calls that no destination took."""
    transport: str | None
    rule: str | None
    count: int
    failed: int
    overhead_median_us: float | None
    overhead_p99_us: float | None
    wait_median_us: float | None
    wait_p99_us: float | None


def percentiles(calls: Iterable[CallRecord]) -> list[Summary]:
    """One summary for each destination and rule, the busiest first."""
    groups: dict[tuple[str | None, str | None, str | None], list[CallRecord]] = {}
    for call in calls:
        groups.setdefault((call.destination, call.transport, call.rule), []).append(call)
    return sorted((_summary(*key, group) for key, group in groups.items()), key=lambda each: -each.count)


def _summary(destination: str | None, transport: str | None, rule: str | None, calls: list[CallRecord]) -> Summary:
    overhead = sorted(call.overhead_us for call in calls if call.overhead_us is not None)
    wait = sorted(call.wait_us for call in calls if call.wait_us is not None)
    return Summary(
        destination=destination,
        transport=transport,
        rule=rule,
        count=len(calls),
        failed=sum(call.error is not None for call in calls),
        overhead_median_us=quantile(overhead, 0.5),
        overhead_p99_us=quantile(overhead, 0.99),
        wait_median_us=quantile(wait, 0.5),
        wait_p99_us=quantile(wait, 0.99),
    )


def quantile(ordered: list[float], share: float) -> float | None:
    """The smallest value that `share` of all values do not exceed: always one that was really measured."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None
