"""`dispatch traces`: what was recorded, as a list and one by one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from statistics import median
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._hindsight import Library, hindsight
from dispatch.cli._printing import print_words
from dispatch.cli._traces_stats import table_of
from dispatch.cli._waterfall import Waterfall, plain
from dispatch.settings import read_settings
from dispatch.telemetry.traces import CallRecord, Trace, Traces, calls_of, read, starts

_SWITCH_ON = (
    "To record some, call dispatch.telemetry.setup(service=…) in the application and in its Celery worker, before "
    "the first call; DISPATCH_TRACE_DIR says where they are written and read."
)

_PREFIX = 8
"""So much of a trace id is unique among thousands, and leaves room for the rest on 80 columns."""


class _NotFound(click.ClickException):
    """Ends the command with status 2, as a wrong argument does."""

    exit_code = 2


@click.group()
def traces() -> None:
    """Look at recorded calls: where each went, why, and what it cost."""
    # A terminal that knows only ASCII gets question marks for bars, not a traceback.
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.encoding.lower().startswith("utf"):
        sys.stdout.reconfigure(errors="replace")


def _place(command: Callable[..., None]) -> Callable[..., None]:
    """The option that says where the files are."""
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        help="Directory with trace files, or one file.  [default: DISPATCH_TRACE_DIR, else traces]",
    )(command)


@traces.command("list")
@_place
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_(directory: Path | None, limit: int, *, as_json: bool) -> None:
    """List traces, the newest first."""
    directory = directory or read_settings().trace_dir
    found = read(directory)
    newest = list(found)[: -limit - 1 : -1]
    _say_what_is_missing(found, directory, err=as_json)
    if as_json:
        _print_json([_summary(trace, tuple(calls_of(trace))) for trace in newest])
    elif newest:
        _console().print(_table(newest))
        if len(found) > limit:
            click.echo(f"the newest {limit} of {len(found)}; --limit shows more", err=True)


@traces.command()
@click.argument("prefix", metavar="ID")
@_place
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="The policy that decided: a path, or the name of a ready one. Again: laid over the first.  "
    "[default: DISPATCH_POLICY and the ready ones, by their versions]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(prefix: str, directory: Path | None, policies: tuple[str, ...], *, as_json: bool) -> None:
    """Show one trace across its processes; ID is its id, or as much of its beginning as is unique.

    Below it, why each call went where it went: the rules are asked again, with what the trace has kept of the call.
    """
    settings = read_settings()
    directory = directory or settings.trace_dir
    found = read(directory)
    trace = _only(found, prefix, directory)
    told = hindsight(trace, Library(policies, settings.policy))
    _say_what_is_missing(found, directory, err=True)
    if as_json:
        _print_json({**_document(trace), "explanations": told})
        return
    console = _console()
    console.print(_heading(trace))
    console.print(Waterfall(trace))
    for each in told:
        console.print()
        print_words(str(each), console)


@traces.command()
@_place
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def stats(directory: Path | None, *, as_json: bool) -> None:
    """Sum up all calls by destination: how long they took to start, and how far off the predictions were."""
    directory = directory or read_settings().trace_dir
    found = read(directory)
    _say_what_is_missing(found, directory, err=as_json)
    rows = starts(found.calls())
    if as_json:
        _print_json({"destinations": rows, "damaged": found.damaged, "files": found.files})
    elif rows:
        _console().print(table_of(rows))


def _only(found: Traces, prefix: str, directory: Path) -> Trace:
    matching = found.find(prefix)
    if not matching and not len(found):
        raise _NotFound(f"there are no traces in {directory}. {_SWITCH_ON}")
    if not matching:
        raise _NotFound(f"no trace in {directory} begins with {prefix!r}; `dispatch traces list` shows the ids")
    if len(matching) > 1:
        some = ", ".join(trace.id[: max(_PREFIX, len(prefix) + 2)] for trace in matching[:3])
        raise _NotFound(f"{len(matching)} traces begin with {prefix!r}: {some} … Give more of the id")
    return matching[0]


def _say_what_is_missing(found: Traces, directory: Path, *, err: bool) -> None:
    if not len(found):
        click.echo(f"there are no traces in {directory}. {_SWITCH_ON}", err=err)
    if found.damaged:
        lines = _so_many(found.damaged, "line")
        click.echo(f"{lines} could not be read and were left out; the first: {plain(found.first_damage)}", err=True)


def _console() -> Console:
    # A file or a pipe has no width; 80 columns would cut what a program or a person looks for there.
    width = None if sys.stdout.isatty() else 200
    return Console(highlight=False, width=width)


def _table(newest: list[Trace]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for heading in ("start", "trace"):
        table.add_column(heading, no_wrap=True)
    for heading in ("root", "destination", "rule"):
        table.add_column(heading, overflow="fold")
    for heading in ("total", "overhead", "wait"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    today = datetime.now(UTC).astimezone().date()
    when = "%H:%M:%S" if all(_start(trace).date() == today for trace in newest) else "%Y-%m-%d %H:%M:%S"
    for trace in newest:
        calls = tuple(calls_of(trace))
        table.add_row(
            f"{_start(trace):{when}}",
            trace.id[:_PREFIX],
            Text(plain(trace.root.name)),
            Text(_counted(Counter(call.destination or "refused" for call in calls))),
            Text(_counted(Counter(call.rule for call in calls if call.rule))),
            show_duration(trace.duration_ns),
            _typical([call.overhead_us for call in calls]),
            _typical([call.wait_us for call in calls]),
            Text("error", "red") if trace.failed else "ok",
        )
    return table


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


def _heading(trace: Trace) -> Text:
    places = ", ".join(map(str, trace.processes))
    start = f"{_start(trace):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    facts = f"{start} · {show_duration(trace.duration_ns)} · {_so_many(len(trace.spans), 'span')} · {places}"
    lost = sum(bool(span.parent_id) for span in trace.roots)
    whose = "its parent, which is" if lost == 1 else "their parents, which are"
    missing = f"\n{_so_many(lost, 'span')} without {whose} not in these files" if lost else ""
    return Text.assemble((f"trace {trace.id}\n", "bold"), (plain(facts), "dim"), (missing, "yellow"), "\n")


def _so_many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _start(trace: Trace) -> datetime:
    """In local time, as a person's watch says."""
    return datetime.fromtimestamp(trace.start_ns / 1e9, UTC).astimezone()


def _summary(trace: Trace, calls: tuple[CallRecord, ...]) -> dict[str, Any]:
    return {
        "trace_id": trace.id,
        "start": datetime.fromtimestamp(trace.start_ns / 1e9, UTC).isoformat(),
        "root": trace.root.name,
        "services": trace.services,
        "spans": len(trace.spans),
        "duration_us": trace.duration_ns / 1e3,
        "failed": trace.failed,
        "calls": calls,
    }


def _document(trace: Trace) -> dict[str, Any]:
    return {
        **_summary(trace, tuple(calls_of(trace))),
        "tree": [{"depth": len(path), **msgspec.to_builtins(span)} for span, path in trace.walk()],
    }


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
