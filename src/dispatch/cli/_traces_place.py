"""Where the traces are that a command looks at, and which of them it wants."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import click

from dispatch.cli._moment import Duration, Since
from dispatch.cli._waterfall import plain
from dispatch.telemetry.traces import Wanted

Command: TypeAlias = Callable[..., None]

SWITCH_ON = (
    "To record some, call dispatch.telemetry.setup(service=…) in the application and in its Celery worker, before "
    "the first call; DISPATCH_TRACE_DIR says where they are written and read."
)

PREFIX = 8
"""So much of a trace id is unique among thousands, and leaves room for the rest on 80 columns."""


def place(command: Command) -> Command:
    """The option that says where the files are."""
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        help="Directory with trace files, or one file.  [default: DISPATCH_TRACE_DIR, else traces]",
    )(command)


def for_programs(command: Command) -> Command:
    """The option that every command has."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


_FILTERS = (
    click.option("--since", type=Since(), metavar="WHEN", help="Not older: 10m, or 2026-11-05T14:00."),
    click.option("--errors", is_flag=True, help="Where something failed, be it an attempt that was repeated."),
    click.option("--rule", metavar="NAME", help="Sent by this rule."),
    click.option("--destination", metavar="NAME", help="Sent there; `refused`: sent nowhere."),
    click.option("--task", metavar="GLOB", help='Of these tasks; * stands for anything: "billing.*".'),
)
_SLOWER = click.option("--slower", type=Duration(), metavar="DURATION", help="That took longer in all, such as 10ms.")


def filters(*, slower: bool = True) -> Callable[[Command], Command]:
    """The options that say which calls; the command gets them as `wanted`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def filtered(
            *,
            task: str | None,
            destination: str | None,
            rule: str | None,
            errors: bool,
            since: int | None,
            slower: int | None = None,
            **others: Any,
        ) -> None:
            wanted = Wanted(
                task=task, destination=destination, rule=rule, errors=errors, since_ns=since, slower_ns=slower
            )
            command(wanted=wanted, **others)

        made: Command = filtered
        for option in (*_FILTERS[:1], _SLOWER, *_FILTERS[1:]) if slower else _FILTERS:
            made = option(made)
        return made

    return decorate


def say_damaged(damaged: int, first: str) -> None:
    """On stderr: the answer is about the rest."""
    if damaged:
        lines = so_many(damaged, "line")
        click.echo(f"{lines} could not be read and were left out; the first: {plain(first)}", err=True)


def so_many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
