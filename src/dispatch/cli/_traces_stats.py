"""`dispatch traces stats`: all recorded calls in one table, and what the predictions of their start were worth."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._waterfall import plain
from dispatch.telemetry.traces import Starts

_HEADINGS = ("calls", "failed", "start p50", "p99", "late", "predicted", "p50", "error p10", "p50", "p90", "p99")
"""Each percentile without a word of its own is of what stands before it."""


def table_of(rows: list[Starts]) -> Table:
    """One line for each destination. Errors are signed: a call that started later than predicted has a `+`."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    table.add_column("destination", overflow="fold")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        errors = (row.error_p10_us, row.error_median_us, row.error_p90_us, row.error_p99_us)
        table.add_row(
            Text(plain(row.destination or "refused")),
            str(row.calls),
            Text(str(row.failed), "red" if row.failed else ""),
            _shown(row.start_median_us),
            _shown(row.start_p99_us),
            str(row.late),
            str(row.predicted),
            _shown(row.predicted_median_us),
            *(_signed(error) for error in errors),
        )
    return table


def _shown(microseconds: float | None) -> str:
    return "" if microseconds is None else show_duration(microseconds * 1e3)


def _signed(microseconds: float | None) -> str:
    return ("+" if microseconds is not None and microseconds > 0 else "") + _shown(microseconds)
