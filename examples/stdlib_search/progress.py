"""How far the job is: bars in a terminal, now and then a line elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from job import Tell

TITLES = {"file": "files tokenized", "imports": "files searched for imports", "segment": "segments committed"}


@contextmanager
def progress(console: Console, totals: dict[str, int]) -> Iterator[Tell]:
    """Show how many of `totals` are done. Yields what to call, with one of their names, for each that is."""
    if not console.is_terminal:
        yield _lines(console, totals)
        return
    columns = TextColumn("{task.description:26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bars:
        bar = {what: bars.add_task(TITLES[what], total=total) for what, total in totals.items()}
        yield lambda what: bars.advance(bar[what])


def _lines(console: Console, totals: dict[str, int]) -> Tell:
    done = dict.fromkeys(totals, 0)

    def tell(what: str) -> None:
        done[what] += 1
        quarter = max(1, totals[what] // 4)
        if done[what] == totals[what] or done[what] % quarter == 0:
            console.print(f"{TITLES[what]}: {done[what]} of {totals[what]}", highlight=False)

    return tell
