"""`dispatch traces stats`: all recorded calls in numbers."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from dispatch.cli._printing import console, print_json
from dispatch.cli._stats_tables import destinations, in_order, paths, ways
from dispatch.cli._traces_place import SWITCH_ON, filters, for_programs, place, say_damaged, so_many
from dispatch.cli._traces_plot import Plot
from dispatch.settings import read_settings
from dispatch.telemetry.traces import Key, Statistics, Wanted, statistics

_KEYS: tuple[Key, ...] = ("destination", "task", "rule")


@click.command()
@place
@filters(slower=False)
@click.option(
    "--by",
    "keys",
    type=click.Choice(_KEYS),
    multiple=True,
    help="What tells the lines of the second table apart; again for more.  [default: all three]",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The busiest so many of them.")
@for_programs
def stats(*, directory: Path | None, wanted: Wanted, keys: tuple[Key, ...], limit: int, as_json: bool) -> None:
    """Sum up all calls: what each path and each way cost, and how far off the predictions were.

    Reads line by line: a million calls take about half a minute.
    """
    directory = directory or read_settings().trace_dir
    told = statistics(directory, wanted)
    keys = tuple(dict.fromkeys(keys)) or _KEYS
    if as_json:
        print_json(_document(told, keys))
    elif told.calls:
        _print(told, keys, limit, console())
    if not told.calls and wanted == Wanted():
        click.echo(f"there are no calls in the traces in {directory}. {SWITCH_ON}", err=as_json)
    elif not told.calls:
        click.echo(f"no call in {directory} is wanted", err=True)
    if told.strangers:
        runs = so_many(told.strangers, "run")
        click.echo(f"{runs} of calls that are not in these files left out", err=True)
    say_damaged(told.damaged, told.first_damage)


def _print(told: Statistics, keys: tuple[Key, ...], limit: int, out: Console) -> None:
    by_path, rows = in_order(told.by("transport")), told.by(*keys)
    out.print("What each path cost", style="bold")
    for table in paths(by_path, out.width):
        out.print(table)
    for row in by_path:
        if row.transport is None:
            out.print(f"{so_many(row.calls, 'call')} refused: no destination took {'it' if row.calls == 1 else 'them'}")
    plot = Plot({path: told.overhead(path) for row in by_path if (path := row.transport) is not None})
    if plot:
        out.print("\nHow the overhead is spread", style="bold")
        out.print(plot)
    out.print(f"\nBy {' and '.join(', '.join(keys).rsplit(', ', 1))}", style="bold")
    out.print(ways(rows[:limit], keys, out.width))
    if len(rows) > limit:
        out.print(f"the busiest {limit} of {len(rows)}; --limit shows more", style="dim")
    out.print("\nFrom the decision to the first line, and what was predicted", style="bold")
    out.print(destinations(told.starts(), out.width))


def _document(told: Statistics, keys: tuple[Key, ...]) -> dict[str, object]:
    by_path = in_order(told.by("transport"))
    return {
        "calls": told.calls,
        "paths": by_path,
        "ways": told.by(*keys),
        "destinations": told.starts(),
        "overhead": {
            path: [{"us": us, "calls": calls} for us, calls in told.overhead(path)]
            for row in by_path
            if (path := row.transport) is not None
        },
        "strangers": told.strangers,
        "files": told.files,
        "damaged": told.damaged,
    }
