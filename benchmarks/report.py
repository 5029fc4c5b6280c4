"""What a run of the benchmarks says: a table of figures, a table of bars, and whether any bar was missed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.case import Bar
from benchmarks.turns import Turns

_PACKAGES = ("celery", "kombu", "redis", "msgspec", "opentelemetry-api")


class Report:
    """The figures of `turns`, held against `bars`."""

    def __init__(self, turns: Turns, bars: Sequence[Bar]) -> None:
        self._turns = turns
        self._reached = [(bar, bar.reached(turns.best)) for bar in bars]

    @property
    def missed(self) -> list[Bar]:
        """A bar that could not be measured is not missed."""
        return [bar for bar, reached in self._reached if reached is not None and reached > bar.at_most]

    def as_json(self) -> dict[str, Any]:
        turns = self._turns
        return {
            "versions": _versions(),
            "rounds": turns.rounds,
            "cases": [
                {"case": case.name, "count": case.count, "each": turns.best[case.name], "unit": case.unit}
                for case in turns.cases
            ],
            "skipped": [{"case": skipped.name, "why": skipped.why} for skipped in turns.skipped],
            "bars": [
                {
                    "case": bar.case,
                    "against": bar.against,
                    "reached": reached,
                    "at_most": bar.at_most,
                    "missed": bar in self.missed,
                }
                for bar, reached in self._reached
            ],
        }

    def show(self) -> None:
        """Print it for people."""
        console = Console(width=None if sys.stdout.isatty() else 110)
        console.print(self._figures())
        console.print(self._bars())
        for skipped in self._turns.skipped:
            console.print(f"not measured: {skipped.name}: {skipped.why}")
        console.print(" · ".join(f"{name} {number}" for name, number in _versions().items()), style="dim")

    def _figures(self) -> Table:
        table = Table("case", title=f"each, best of at least {self._turns.rounds}")
        table.add_column("times", justify="right")
        table.add_column("each", justify="right")
        for case in self._turns.cases:
            each = self._turns.best[case.name]
            shown = f"{each * 1e6:,.2f} µs" if case.unit == "s" else f"{_number(each)} {case.unit}"
            table.add_row(case.name, f"{case.count:,}", shown)
        return table

    def _bars(self) -> Table:
        table = Table("bar", "against", title="bars")
        table.add_column("reached", justify="right")
        table.add_column("at most", justify="right")
        table.add_column("")
        for bar, reached in self._reached:
            verdict = "not measured" if reached is None else "missed" if bar in self.missed else "met"
            shown = "" if reached is None else _number(reached)
            table.add_row(bar.case, bar.against or "", shown, _number(bar.at_most), verdict)
        return table


def _number(number: float) -> str:
    """Whole from ten on, else with three digits behind the point."""
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:.3f}"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
