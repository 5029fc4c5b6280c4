"""`dispatch traces list`: a line for each trace."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._printing import console, print_json
from dispatch.cli._traces_place import PREFIX, SWITCH_ON, filters, for_programs, place, say_damaged
from dispatch.cli._waterfall import plain
from dispatch.settings import read_settings
from dispatch.telemetry.traces import REFUSED, CallRecord, Trace, Traces, Wanted, read


@click.command("list")
@place
@filters()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@for_programs
def list_(*, directory: Path | None, wanted: Wanted, limit: int, as_json: bool) -> None:
    """List traces, the newest first; with filters those of which one call is wanted."""
    directory = directory or read_settings().trace_dir
    found = read(directory)
    matching = [trace for trace in found if wanted.has_trace(trace, (*found.calls_of(trace), *found.runs_of(trace)))]
    newest = matching[: -limit - 1 : -1]
    say_what_is_missing(found, directory, err=as_json)
    if as_json:
        print_json([summary(trace, found) for trace in newest])
    elif newest:
        console().print(_table(newest, found))
    if len(matching) > limit:
        click.echo(f"the newest {limit} of {len(matching)}; --limit shows more", err=True)
    elif len(found) and not matching:
        click.echo(f"none of {len(found)} traces is wanted", err=True)


def say_what_is_missing(found: Traces, directory: Path, *, err: bool) -> None:
    if not len(found):
        click.echo(f"there are no traces in {directory}. {SWITCH_ON}", err=err)
    say_damaged(found.damaged, found.first_damage)


def summary(trace: Trace, found: Traces) -> dict[str, Any]:
    """What a program gets of a trace in a list."""
    return {
        "trace_id": trace.id,
        "start": datetime.fromtimestamp(trace.start_ns / 1e9, UTC).isoformat(),
        "root": trace.root.name,
        "services": trace.services,
        "spans": len(trace.spans),
        "duration_us": trace.duration_ns / 1e3,
        "failed": _has_failed(trace, tuple(found.calls_of(trace))),
        "calls": tuple(found.calls_of(trace)),
        "runs": tuple(found.runs_of(trace)),
    }


def local_time(nanoseconds: int) -> datetime:
    """As a person's watch says."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).astimezone()


def _table(newest: list[Trace], found: Traces) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for heading in ("start", "trace"):
        table.add_column(heading, no_wrap=True)
    for heading in ("root", "destination", "rule"):
        table.add_column(heading, overflow="fold")
    for heading in ("total", "overhead", "wait"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    today = datetime.now(UTC).astimezone().date()
    is_today = all(local_time(trace.start_ns).date() == today for trace in newest)
    when = "%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S"
    for trace in newest:
        # A trace in which nothing was called may be the run of a call that was made in another one.
        calls = tuple(found.calls_of(trace)) or tuple(found.runs_of(trace))
        table.add_row(
            f"{local_time(trace.start_ns):{when}}",
            trace.id[:PREFIX],
            Text(plain(trace.root.name)),
            Text(_counted(Counter(call.destination or REFUSED for call in calls))),
            Text(_counted(Counter(call.rule for call in calls if call.rule))),
            show_duration(trace.duration_ns),
            _typical([call.overhead_us for call in calls]),
            _typical([call.wait_us for call in calls]),
            Text("error", "red") if _has_failed(trace, calls) else "ok",
        )
    return table


def _has_failed(trace: Trace, calls: tuple[CallRecord, ...]) -> bool:
    """Here, or where one of its calls ran."""
    return trace.failed or any(call.error is not None for call in calls)


def _counted(names: Counter[str]) -> str:
    """`fast`, or with several calls `fast 12, queue 3`."""
    several = names.total() > 1
    return plain(", ".join(f"{name} {count}" if several else name for name, count in names.most_common()))


def _typical(values: list[float | None]) -> str:
    """The value of the one call; of several the median, marked as such."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return ("~" if len(known) > 1 else "") + show_duration(median(known) * 1e3)
