"""How the commands print: with colour on a terminal, and whole lines everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dispatch.cli._waterfall import plain
from dispatch.errors import Problem

Part: TypeAlias = str | tuple[str, str]
"""Text, or text and its style."""


def console(*, err: bool = False) -> Console:
    """Prints to stdout, or to stderr; honours `NO_COLOR`."""
    # A file or a pipe has no width; 80 columns would cut what a program or a person looks for there.
    width = None if (sys.stderr if err else sys.stdout).isatty() else 200
    return Console(highlight=False, stderr=err, width=width)


def print_line(console: Console, *parts: Part) -> None:
    """One line that is never cut nor folded here: paths stay whole, and a terminal folds by itself."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def print_words(words: str, console: Console) -> None:
    """An explanation's own words, with colour where there is colour."""
    for line in words.splitlines():
        text = Text(plain(line))
        text.highlight_regex(r"^[^\s:]+", "bold")
        text.highlight_regex(r"^  (✓|→) \S+", "bold green")
        text.highlight_regex(r"^  ✗ .*", "dim")
        text.highlight_regex(r"^note: .*", "yellow")
        console.print(text, soft_wrap=True)


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_problems(problems: Sequence[Problem], console: Console) -> None:
    """Every mistake of a policy: its place and what is wrong, the offending text, the cure."""
    for problem in problems:
        place = f"{plain(problem.file)}:{problem.line}:{problem.column}"
        print_line(console, (place, "bold"), ": ", (problem.code, "red"), f": {plain(problem.message)}")
        print_line(console, "    ", (plain(problem.text), "dim"))
        print_line(console, "    ", (plain(problem.cure), "green"))
    print_line(console, f"{len(problems)} mistake{'' if len(problems) == 1 else 's'}")


def print_findings(found: Sequence[Problem], tasks: int, console: Console) -> None:
    """What was found about so many tasks, as a table: the place, the code, and what it means with its cure."""
    if not found:
        print_line(console, f"{tasks} tasks, ", ("nothing found", "green"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    table.add_column("place", no_wrap=True, overflow="fold")
    table.add_column("code", style="red", no_wrap=True)
    table.add_column("what, and what to do", overflow="fold")
    for each in found:
        said = Text.assemble(plain(each.message), "\n", (plain(each.cure), "green"))
        table.add_row(f"{plain(each.file)}:{each.line}:{each.column}", each.code, said)
    console.print(table)
    print_line(console, f"{tasks} tasks, {len(found)} finding{'' if len(found) == 1 else 's'}")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines, with their columns below each other; the last column is as long as it is."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
