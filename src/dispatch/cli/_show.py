"""`dispatch check --show`: the whole policy, and where each of its values was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len
from rich.console import Console

from dispatch.cli._printing import print_line
from dispatch.cli._waterfall import plain
from dispatch.policy import Policy

if TYPE_CHECKING:
    from dispatch.policy._origins import Line

_WIDEST = 56
"""Columns before the origins; a longer line has its own behind it."""

show_option = click.option(
    "--show", is_flag=True, help="Print the whole policy, defaults and all, and where each value was said."
)


def print_whole(policy: Policy, console: Console) -> None:
    """As YAML, with the origins as comments: what is printed is a policy itself."""
    lines = _lines(policy)
    width = max((cell_len(line.text) for line in lines if cell_len(line.text) <= _WIDEST), default=0)
    for line in lines:
        text = plain(line.text)
        if line.value is None:
            print_line(console, (text, "dim" if text.lstrip().startswith("#") else "bold"))
            continue
        gap = " " * max(2, width + 2 - cell_len(text))
        print_line(console, text, gap, (f"# {_origin(line)}", "dim"))


def whole_as_json(policy: Policy) -> Sequence[dict[str, Any]]:
    """Each value, as the file would write it, with its place; without one, it is the default."""
    return [
        {
            "path": line.path,
            "value": line.value,
            "file": None if line.spot is None else line.spot.file,
            "line": None if line.spot is None else line.spot.line,
            "column": None if line.spot is None else line.spot.column,
        }
        for line in _lines(policy)
        if line.value is not None
    ]


def _lines(policy: Policy) -> list[Line]:
    from dispatch.policy._origins import laid_out  # noqa: PLC0415 - it reads YAML, and only this option needs it

    return laid_out(policy.sources)


def _origin(line: Line) -> str:
    return "(default)" if line.spot is None else plain(f"{line.spot.file}:{line.spot.line}")
