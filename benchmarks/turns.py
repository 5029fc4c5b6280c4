"""Cases take turns: the machine's speed changes from minute to minute, and so it changes for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from rich.console import Console
from rich.progress import track

from benchmarks.case import Case, Skipped

_SECONDS, _MORE = 3.0, 5
"""A group whose turn takes less than so many seconds takes several for one, at most so many. The best of many is
steadier."""


@dataclass
class Turns:
    """Takes the figures of one group after another, and keeps the best of each case, for one item."""

    rounds: int
    cases: list[Case] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def take(self, title: str, group: Iterable[Case | Skipped]) -> None:
        cases = [each for each in group if isinstance(each, Case)]
        self.skipped += [each for each in group if isinstance(each, Skipped)]
        began = perf_counter()
        for case in cases:
            case.take(case.count)  # connections, threads and caches are warm for everybody
        rounds = self.rounds * max(1, min(_MORE, int(_SECONDS / (perf_counter() - began))))
        taken: dict[str, list[float]] = {case.name: [] for case in cases}
        for _ in track(range(rounds), f"{title:20}", console=Console(stderr=True)):
            for case in cases:
                taken[case.name].append(case.take(case.count) / case.count)
        self.cases += cases
        self.best |= {name: min(figures) for name, figures in taken.items()}
