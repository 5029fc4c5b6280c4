"""`dispatch spool`: what waits on this machine's disk, and how to have it go, or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import click

from dispatch import _default
from dispatch._clock import wall
from dispatch._units import duration_ns, show_duration, show_size
from dispatch.cli._bad_input import BadInput
from dispatch.cli._printing import aligned, console, print_json, print_line
from dispatch.cli._target import imported
from dispatch.cli._waterfall import plain
from dispatch.settings import read_settings
from dispatch.spool import ForwarderStatistics, Spool, State, Summary
from dispatch.transports.spool import SpoolDestination

_MOST = 1_000_000


@click.group()
def spool() -> None:
    """Look after durable calls that wait on this machine's disk. Works beside the running application."""


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which calls."""
    older = click.option("--older-than", metavar="DURATION", help="Spooled longer ago, such as 10m.")
    state = click.option("--state", type=click.Choice(get_args(State)), help="In this state.")
    task = click.option("--task", metavar="GLOB", help="Of these tasks, such as 'billing.*'.")
    return task(state(older(command)))


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@spool.command()
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The oldest so many.")
@_json
def ls(*, task: str | None, state: State | None, older_than: str | None, limit: int, as_json: bool) -> None:
    """List spooled calls, the oldest first. Never their arguments."""
    opened = _opened()
    found = _found(opened, task, state, older_than, limit)
    total = opened.statistics()
    opened.close()
    if as_json:
        print_json({"statistics": total, "calls": found})
        return
    out = console()
    for line in aligned([_HEAD, *(_line(row) for row in found)]) if found else ():
        print_line(out, plain(line))
    print_line(
        out,
        (f"{total.rows} calls, {show_size(total.bytes)} of {show_size(total.max_bytes)}", "dim"),
        (f": {total.waiting} waiting, {total.leased} leased, {total.unknown} unknown, {total.dead} dead", "dim"),
    )
    for path in total.set_aside:
        print_line(out, (f"a file that could not be used is kept as {plain(str(path))}", "yellow"))


@spool.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@_json
def drop(*, ids: tuple[str, ...], task: str | None, state: State | None, older_than: str | None, as_json: bool) -> None:
    """Remove calls: those named, or all that the options choose. Only one that was `waiting` was certainly never sent.

    Exit status 1 when one of the named is not there.
    """
    if not ids and task is state is older_than is None:
        raise click.UsageError("say which: ids, --task, --state or --older-than")
    opened = _opened()
    chosen = ids or tuple(row.id for row in _found(opened, task, state, older_than, _MOST))
    were = {each: opened.drop(each) for each in chosen}
    opened.close()
    if as_json:
        print_json({"dropped": were})
    else:
        for each, was in were.items():
            print_line(console(), plain(f"{each}: {f'dropped, was {was}' if was else 'there is no such call'}"))
    if None in were.values():
        raise SystemExit(1)


@spool.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--import", "module", metavar="MODULE", help="Import the application first: its configuration holds.")
@_json
def forward(*, ids: tuple[str, ...], module: str | None, as_json: bool) -> None:
    """Try now, once, what waits for its next try; of dead calls those that are named.

    Needs no running application: the policy in force says where they go. Calls of a spool with `run:` are run in this
    process. Where the application's own forwarder is at work, that one is told to try now. Exit status 1 when a call
    was not accepted.
    """
    click.get_current_context().with_resource(_default.looking())
    if module is not None:
        imported(module)
    dispatcher = _default.current()
    spools = [each for each in dispatcher.destinations.values() if isinstance(each, SpoolDestination)]
    try:
        if not spools:
            _opened().close()  # names what is not configured
            raise BadInput("the policy in force has no spool that is configured; `dispatch check` shows it")
        done = {each.name: each.hand_on(ids) for each in spools}
        left = spools[0].spool.ls(limit=_MOST)
    finally:
        dispatcher.shutdown()
    if as_json:
        print_json({"spools": done, "left": left})
    else:
        for name, counts in done.items():
            print_line(console(), plain(f"{name}: {_counted(counts)}"))
        for line in aligned([_HEAD, *(_line(row) for row in left)]) if left else ():
            print_line(console(), plain(line))
    if any(counts.refused or counts.unknown or counts.never for counts in done.values()):
        raise SystemExit(1)


_HEAD = ("id", "task", "state", "for", "age", "tries", "last error")


def _line(row: Summary) -> Sequence[str]:
    age = show_duration(max(0, wall() - row.added))
    return (row.id, row.task, row.state, row.broker, age, str(row.tries), row.last_error or "")


def _counted(counts: ForwarderStatistics) -> str:
    known = {name: getattr(counts, name) for name in ("accepted", "refused", "unknown", "never")}
    return ", ".join(f"{count} {name}" for name, count in known.items() if count) or "nothing was to be forwarded"


def _opened() -> Spool:
    settings = read_settings()
    if settings.application is None:
        raise BadInput("which application's spool? Set DISPATCH_APPLICATION, as the application does")
    return Spool(settings.application, folder=settings.spool_dir)


def _found(opened: Spool, task: str | None, state: State | None, older_than: str | None, limit: int) -> Sequence[Any]:
    try:
        before = None if older_than is None else wall() - duration_ns(older_than)
    except ValueError as error:
        raise BadInput(f"--older-than: {error}") from None
    return opened.ls(task=task, state=state, before=before, limit=limit)
