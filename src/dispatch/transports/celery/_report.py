"""What a worker adds to a stored result: how long the call had waited for its start, and how long it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

REPORT = "dispatch"
"""Its key in the stored result, beside Celery's own `status`, `result` and so on."""


class Report(msgspec.Struct, frozen=True):
    """Of a call's first attempt, in nanoseconds."""

    wait_ns: int
    """From the message to the task's first line: the difference of two machines' clocks, which may be negative."""
    run_ns: int
    """By the worker's clock alone."""


def report_of(meta: Mapping[str, Any]) -> Report | None:
    """The report in a stored result; `None` without one, or where it makes no sense."""
    said = meta.get(REPORT)
    try:
        report = msgspec.convert(said, Report)
    except msgspec.ValidationError:
        return None
    return report if report.run_ns >= 0 else None
