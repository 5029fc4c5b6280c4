"""`make compare`: one run, a table for each question here, and a page with pictures."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.compare.page import html, pictures, rewritten
from benchmarks.compare.run import QUICK, Plan, take
from benchmarks.compare.tables import Table, tables

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs" / "comparison.md"


def main() -> int:
    arguments = _arguments()
    logging.getLogger("dispatch").setLevel(logging.ERROR)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if arguments.record is not None:
        record = msgspec.json.decode(arguments.record.read_bytes())
    else:
        plan = QUICK if arguments.quick else Plan()
        if arguments.only:
            plan = msgspec.structs.replace(plan, only=tuple(arguments.only.split(",")))
        if arguments.waiting is not None:
            plan = msgspec.structs.replace(plan, waiting=arguments.waiting)
        told = take(plan, lambda name: console.print(f"[dim]… {name}[/dim]"))
        record = msgspec.json.decode(msgspec.json.encode(told))
    for table in tables(record):
        _show(table, console)
    written = _write(record, arguments.folder)
    if arguments.docs:
        _DOCS.write_text(rewritten(_DOCS.read_text(), record))
        written += _write(record, _DOCS.with_suffix(""), page=False)
    console.print("\n".join(f"[dim]{path}[/dim]" for path in written))
    return 0


def _write(record: dict[str, object], folder: Path, *, page: bool = True) -> list[Path]:
    made = pictures(record, folder)
    said = folder / "comparison.json"
    said.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    made.append(said)
    if page:
        there = folder / "comparison.html"
        there.write_text(html(record))
        made.append(there)
    return made


def _show(table: Table, console: Console) -> None:
    grid = Grid(
        title=table.title.replace("`", ""), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for place, name in enumerate(table.columns):
        grid.add_column(name, justify="left" if place == 0 or table.key == "scarcity" else "right")
    for row in table.rows:
        grid.add_row(*(cell.replace("**", "") for cell in row))
    console.print()
    console.print(grid)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look of a minute or two, too short to quote")
    parser.add_argument("--only", help="contestants, by their keys, joined by commas")
    parser.add_argument("--waiting", type=int, help="how many calls wait where memory is measured")
    parser.add_argument("--folder", type=Path, default=_ROOT / "build" / "compare", help="where the page goes")
    parser.add_argument("--record", type=Path, help="draw this comparison.json again, and measure nothing")
    parser.add_argument("--docs", action="store_true", help="renew the tables and pictures of docs/comparison.md too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
