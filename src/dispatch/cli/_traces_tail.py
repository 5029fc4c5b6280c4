"""`dispatch traces tail`: the last calls, and each new one as it is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep

import click
import msgspec
from rich.console import Console
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._printing import console
from dispatch.cli._traces_list import local_time
from dispatch.cli._traces_place import PREFIX, SWITCH_ON, filters, for_programs, place, say_damaged
from dispatch.cli._waterfall import plain
from dispatch.settings import read_settings
from dispatch.telemetry.traces import REFUSED, CallRecord, Following, Joining, Wanted

_PAUSE = 0.2
_PATIENCE = 25
"""Looks until a call that is not over is shown as it stands: five seconds."""

_WINDOWS = (1 << 20, 1 << 24)
"""Bytes at the end of each file: a megabyte holds a thousand calls; where filters leave too few, sixteen."""

_WIDE = 100
"""Columns for the rule too."""


@click.command()
@place
@filters()
@click.option("--limit", type=click.IntRange(min=0), default=10, show_default=True, help="The last so many.")
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on, with calls that are written from now on.")
@for_programs
def tail(*, directory: Path | None, wanted: Wanted, limit: int, is_following: bool, as_json: bool) -> None:
    """Show the last calls, a line for each, the newest last; with -f go on until Ctrl-C.

    Looks back over the last 16 MiB of each file. With --json a line is an object.
    """
    directory = directory or read_settings().trace_dir
    out = console()
    say = _as_json if as_json else _Lines(out)
    following = Following(directory, last=0)
    try:
        following, joining, last = _last(directory, wanted, limit)
        for call in last:
            say(call)
        if not last:
            click.echo(_nothing(directory, wanted, is_following=is_following), err=is_following or as_json)
        if is_following:
            follow(following, joining, wanted, say, wait=lambda: sleep(_PAUSE))
    except KeyboardInterrupt:
        pass  # how one ends it
    except BrokenPipeError:
        # Whoever read has enough; what is still held back must not complain at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    say_damaged(following.damaged, following.first_damage)


def follow(
    following: Following,
    joining: Joining,
    wanted: Wanted,
    say: Callable[[CallRecord], None],
    *,
    wait: Callable[[], None],
) -> None:
    """Say each wanted call that is written from now on; ends when `wait`, between two looks, raises."""
    while True:
        wait()
        for span in following.look():
            joining.add(span)
        for call in joining.turn():
            if wanted.has_call(call):
                say(call)


def _last(directory: Path, wanted: Wanted, limit: int) -> tuple[Following, Joining, list[CallRecord]]:
    """The last calls, and where to go on."""
    for window in _WINDOWS:
        following, joining = Following(directory, last=window), Joining(_PATIENCE)
        for span in following.look():
            joining.add(span)
        # In front of a cut there may be the caller's side of a run behind it.
        calls = [
            call
            for call in joining.turn(impatient=True)
            if wanted.has_call(call) and not (following.is_cut and call.caller is None)
        ]
        if len(calls) >= limit or not following.is_cut:
            break
    return following, joining, calls[max(0, len(calls) - limit) :]


def _nothing(directory: Path, wanted: Wanted, *, is_following: bool) -> str:
    if wanted != Wanted():
        return f"no call in {directory} is wanted{' so far' if is_following else ''}"
    return f"there are no calls in the traces in {directory}{' so far' if is_following else ''}. {SWITCH_ON}"


def _as_json(call: CallRecord) -> None:
    click.echo(msgspec.json.encode(call))


class _Lines:
    """Prints a call as a line; the columns are as wide as is usual, so that what comes later stands below."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._is_wide = out.width >= _WIDE
        self._is_first = True

    def __call__(self, call: CallRecord) -> None:
        if self._is_first:
            self._is_first = False
            heading = self._row("start", "trace", "task", "destination", "rule", "overhead", "wait", "run")
            self._print(Text(f"{heading} status", "bold"))
        row = self._row(
            f"{local_time(call.started_ns):%H:%M:%S}",
            call.trace_id[:PREFIX],
            call.task,
            call.destination or ("" if call.error is None else REFUSED),
            call.rule or "",
            *(_shown(us) for us in (call.overhead_us, call.wait_us, call.run_us)),
        )
        self._print(Text.assemble(plain(row), " ", _status(call)))

    def _row(self, start: str, trace: str, task: str, destination: str, rule: str, *times: str) -> str:
        where = f"{destination:<11} {rule:<14}" if self._is_wide else f"{destination:<11}"
        return f"{start:<8} {trace:<8} {task:<17} {where} {' '.join(f'{time:>8}' for time in times)}"

    def _print(self, line: Text) -> None:
        # Not by rich alone: where whoever reads has gone, it would end the program, and with status 1.
        with self._out.capture() as printed:
            self._out.print(line, soft_wrap=True)
        click.echo(printed.get(), nl=False)


def _shown(microseconds: float | None) -> str:
    return "" if microseconds is None else show_duration(microseconds * 1e3)


def _status(call: CallRecord) -> tuple[str, str]:
    if call.dead_letter is not None:
        return f"dead letter: {plain(call.dead_letter)}", "red"
    words = "ok" if call.error is None else plain(call.error)
    if call.error is None and not call.attempts:
        words = "waiting"
    attempts = f", {call.attempts} attempts" if call.attempts > 1 else ""
    return words + attempts, "red" if call.error is not None else "dim" if words == "waiting" else ""
