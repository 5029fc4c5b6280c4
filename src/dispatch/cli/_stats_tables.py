"""The tables of `dispatch traces stats`. Each percentile without a word of its own is of what stands before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._waterfall import plain
from dispatch.telemetry.traces import REFUSED, Costs, Key, Spread, Starts

_ORDER = ("local", "celery", "spool", "inline")
_PARTS = (
    ("decide", "decide"),
    ("serialize", "serialize"),
    ("enqueue", "enqueue, publish"),
    ("overhead", "= overhead"),
    ("wait", "wait"),
    ("start", "start"),
    ("run", "run"),
)
_COUNTS = (
    ("failed", "failed", "red"),
    ("dead", "dead letters", "red"),
    ("without_run", "run not known", ""),
)
_FIRST, _ABREAST = 17, 19
"""Columns that the words take, and each path."""
_COUNTED, _A_TIME, _FEWEST = 14, 9, 3
"""Columns that the counts of a way take, and each time; so many times there are in any case."""
_BY_WORTH = (
    *(("overhead", "p50"), ("overhead", "p99"), ("wait", "p50"), ("run", "p50")),
    *(("decide", "p50"), ("serialize", "p50"), ("enqueue", "p50"), ("wait", "p99"), ("run", "p99"), ("start", "p50")),
)
_ALONG_THE_WAY = tuple(name for name, _ in _PARTS)
_WIDE = 100
"""Columns for all that there is to say of predictions."""


def in_order(rows: Iterable[Costs]) -> list[Costs]:
    """Of paths: ours as they are always named, then those that somebody else calls so."""

    def place(row: Costs) -> tuple[int, str]:
        name = str(row.transport)
        return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)

    return sorted(rows, key=place)


def paths(rows: Iterable[Costs], width: int) -> Iterator[Table]:
    """The paths side by side, a line for each part of what a call costs; so many in a table as there is room for."""
    known = [row for row in rows if row.transport is not None]
    abreast = max(1, (width - _FIRST) // _ABREAST)
    for start in range(0, len(known), abreast):
        yield _side_by_side(known[start : start + abreast])


def _side_by_side(known: Sequence[Costs]) -> Table:
    table = _table("")
    for row in known:
        _numbers(table, plain(f"{row.transport} p50"), "p99")
    table.add_row("calls", *(cell for row in known for cell in (str(row.calls), "")))
    for name, words, style in _COUNTS:
        counts = [getattr(row, name) for row in known]
        if any(counts) or name == "failed":
            table.add_row(words, *(cell for count in counts for cell in (Text(str(count), style if count else ""), "")))
    for name, words in _PARTS:
        table.add_row(words, *(cell for row in known for cell in _cells(getattr(row, name), "p50", "p99")))
    return table


def ways(rows: Sequence[Costs], keys: tuple[Key, ...], width: int) -> Table:
    """A line for each way that calls went, with as much of what they cost as there is room for beside the names."""
    table = _table(*keys)
    _numbers(table, "calls", "failed")
    names = sum(max(len(key), *(len(_named(row, key)) + 1 for row in rows)) for key in keys)
    room = max(_FEWEST, (width - names - _COUNTED) // _A_TIME)
    told = sorted(_BY_WORTH[:room], key=lambda each: (_ALONG_THE_WAY.index(each[0]), each[1]))
    for name, share in told:
        _numbers(table, name if share == "p50" else share)
    for row in rows:
        table.add_row(
            *(Text(_named(row, key)) for key in keys),
            str(row.calls),
            Text(str(row.failed), "red" if row.failed else ""),
            *(cell for name, share in told for cell in _cells(getattr(row, name), share)),
        )
    return table


def destinations(rows: Iterable[Starts], width: int) -> Table:
    """A line for each destination. Errors are signed: a call that started later than predicted has a `+`."""
    is_wide = width >= _WIDE
    table = _table("destination")
    if is_wide:
        _numbers(table, "calls", "failed")
    _numbers(table, "start p50", "p99", "late", "predicted", "p50", "error p10", "p50")
    _numbers(table, *(("p90", "p99") if is_wide else ("p99",)))
    for row in rows:
        counts = (str(row.calls), Text(str(row.failed), "red" if row.failed else ""))
        errors = (row.error_p10_us, row.error_median_us, *([row.error_p90_us] if is_wide else []), row.error_p99_us)
        table.add_row(
            Text(plain(row.destination or REFUSED)),
            *(counts if is_wide else ()),
            _shown(row.start_median_us),
            _shown(row.start_p99_us),
            str(row.late),
            str(row.predicted),
            _shown(row.predicted_median_us),
            *(_signed(error) for error in errors),
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold", min_width=len(name))
    return table


def _numbers(table: Table, *headings: str) -> None:
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)


def _named(row: Costs, key: Key) -> str:
    name: str | None = getattr(row, key)
    return plain(name or (REFUSED if key == "destination" else ""))


def _cells(spread: Spread | None, *shares: str) -> Iterator[str]:
    return (_shown(None if spread is None else getattr(spread, share)) for share in shares)


def _shown(microseconds: float | None) -> str:
    return "" if microseconds is None else show_duration(microseconds * 1e3)


def _signed(microseconds: float | None) -> str:
    return ("+" if microseconds is not None and microseconds > 0 else "") + _shown(microseconds)
