"""`dispatch dead`: durable calls that failed for good, wherever they are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, TypeAlias

import click
import msgspec
from rich.table import Table
from rich.text import Text

from dispatch._compose import dead_letters
from dispatch._dead_letter import DeadLetter, DeadLetters
from dispatch.cli._bad_input import BadInput
from dispatch.cli._moment import Since
from dispatch.cli._printing import console, print_json, print_line
from dispatch.cli._waterfall import plain
from dispatch.settings import read_settings

_Found: TypeAlias = tuple[DeadLetters, DeadLetter]
_Command: TypeAlias = Callable[..., None]


@click.group()
def dead() -> None:
    """Durable calls that failed for good: look, send again, throw away."""


def _filtered(command: _Command) -> _Command:
    """The options that say which letters."""
    for option in (
        click.option("--since", type=Since(), metavar="WHEN", help="Not older: 2h, or 2026-11-05T14:00."),
        click.option("--task", metavar="NAME", help='Of this task; * stands for anything: "billing.*".'),
    ):
        command = option(command)
    return command


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@dead.command()
@_filtered
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@_json
def ls(*, task: str | None, since: int | None, limit: int, as_json: bool) -> None:
    """List them, the newest first."""
    with _places() as places:
        found = [(place.place, letter) for place, letter in _matching(places, task, since, limit)]
    if as_json:
        print_json([_summary(place, letter) for place, letter in found])
    elif found:
        console().print(_table(found))
    else:
        print_line(console(), "no dead letters")


@dead.command()
@click.argument("call_id", metavar="ID")
@_json
def show(call_id: str, *, as_json: bool) -> None:
    """Show one whole: its error and traceback, its arguments, where it came from."""
    with _places() as places:
        place, letter = next(
            ((each.place, letter) for each in places if (letter := each.show(call_id)) is not None), (None, None)
        )
    if place is None or letter is None:
        raise _not_there([call_id])
    if as_json:
        print_json({"place": place, **msgspec.to_builtins(letter)})
        return
    out = console()
    for name, value in (
        ("call", letter.id),
        ("task", letter.task),
        ("place", f"{place}, from queue {letter.queue}"),
        ("since", _when(letter)),
        ("reason", letter.reason),
        ("error", letter.error),
        ("attempts", f"{letter.attempts}, the last of them delivered {letter.deliveries} times"),
        ("trace", letter.trace_id or "none"),
        ("arguments", letter.arguments),
    ):
        print_line(out, (f"{name:<10}", "bold"), plain(value))
    for line in letter.traceback.splitlines():
        print_line(out, (plain(line), "dim"))


def _chosen(command: _Command) -> _Command:
    """What `retry` and `drop` take."""
    command = click.option("--all", "all_", is_flag=True, help="All that the options above leave.")(command)
    return click.argument("ids", nargs=-1, metavar="[ID]...")(_filtered(command))


@dead.command()
@_chosen
@_json
def retry(*, ids: tuple[str, ...], task: str | None, since: int | None, all_: bool, as_json: bool) -> None:
    """Send calls again, each under its own id and as a first attempt."""

    def act(place: DeadLetters, wanted: Collection[str]) -> Mapping[str, str]:
        return place.retry(wanted)

    _act(act, ids, task, since, all_=all_, as_json=as_json)


@dead.command()
@_chosen
@_json
def drop(*, ids: tuple[str, ...], task: str | None, since: int | None, all_: bool, as_json: bool) -> None:
    """Throw calls away for good."""

    def act(place: DeadLetters, wanted: Collection[str]) -> Mapping[str, str]:
        return dict.fromkeys(place.drop(wanted), "dropped")

    _act(act, ids, task, since, all_=all_, as_json=as_json)


def _act(
    act: Callable[[DeadLetters, Collection[str]], Mapping[str, str]],
    ids: tuple[str, ...],
    task: str | None,
    since: int | None,
    *,
    all_: bool,
    as_json: bool,
) -> None:
    if all_ == bool(ids) or (ids and not (task is None and since is None)):
        raise click.UsageError("give either ids, or --all with or without --task and --since")
    answers: dict[str, str] = {}
    with _places() as places:
        for place in places:
            wanted = ids or tuple(letter.id for _, letter in _matching([place], task, since))
            answers |= act(place, wanted)
    if as_json:
        print_json(answers)
    else:
        for call_id, answer in answers.items():
            print_line(console(), (plain(call_id), "bold"), f" {_SAID[answer]}")
        if all_ and not answers:
            print_line(console(), "no dead letters")
    missing = [call_id for call_id in ids if call_id not in answers]
    if missing:
        raise _not_there(missing)


_SAID = {"sent": "sent again", "known": "is under way already", "dropped": "dropped"}


@contextmanager
def _places() -> Iterator[list[DeadLetters]]:
    with ExitStack() as open_ones:
        places = dead_letters(read_settings())
        for place in places:
            open_ones.callback(place.close)
        yield places


def _matching(places: list[DeadLetters], task: str | None, since: int | None, limit: int | None = None) -> list[_Found]:
    """The newest first; of each place no more than are wanted of all."""

    def wanted(letter: DeadLetter) -> bool:
        return (task is None or fnmatchcase(letter.task, task)) and (since is None or letter.at_ms * 1_000_000 >= since)

    found = [(place, letter) for place in places for letter in islice(filter(wanted, place.letters()), limit)]
    return sorted(found, key=lambda each: each[1].at_ms, reverse=True)[:limit]


def _table(found: list[tuple[str, DeadLetter]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for heading in ("since", "call"):
        table.add_column(heading, no_wrap=True)
    for heading in ("task", "reason"):
        table.add_column(heading, overflow="fold")
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("error", overflow="ellipsis", no_wrap=True)
    table.add_column("place", no_wrap=True)
    for place, letter in found:
        table.add_row(
            _when(letter),
            Text(plain(letter.id)),
            Text(plain(letter.task)),
            Text(plain(letter.reason)),
            str(letter.attempts),
            Text(plain(letter.error), "red"),
            place,
        )
    return table


def _summary(place: str, letter: DeadLetter) -> dict[str, Any]:
    """Without what may be long, or secret: `show` has that."""
    whole = {"place": place, **msgspec.to_builtins(letter)}
    return {name: value for name, value in whole.items() if name not in {"traceback", "arguments"}}


def _when(letter: DeadLetter) -> str:
    """In local time, as a person's watch says."""
    return f"{datetime.fromtimestamp(letter.at_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _not_there(ids: list[str]) -> BadInput:
    return BadInput(f"there is no dead letter {', '.join(ids)}; `dispatch dead ls` shows those that there are")
