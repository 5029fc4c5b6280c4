"""The counters, read from their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from dispatch.telemetry._failures import failures
from dispatch.telemetry._metrics import _table as m
from dispatch.telemetry._metrics._cells import Cells, Key, Tally
from dispatch.telemetry._metrics._instruments import Instruments, Reading
from dispatch.telemetry._names import DESTINATION, ERROR_TYPE, TASK, TRANSPORT


def observe_counters(instruments: Instruments, cells: Cells) -> None:
    """Have them asked by whoever collects."""

    def observe(
        name: str,
        *tallies: Tally,
        counts: Callable[[], Iterable[tuple[Key, int]]] | None = None,
        word: str = ERROR_TYPE,
    ) -> None:
        def read() -> Reading:
            with cells.reading:
                total = _sum(each for tally in tallies for each in tally) if counts is None else _sum(counts())
                overflow = sum(tally.overflow.value for tally in tallies)
            names = (TASK, DESTINATION, TRANSPORT, word)
            for key, count in total.items():
                yield count, {name: said for name, said in zip(names, key, strict=True) if said}
            if overflow:
                yield overflow, {m.OVERFLOW: True}

        instruments.observe(name, read)

    observe(m.DISPATCHED, cells.run, cells.left, counts=lambda: _dispatched(cells))
    observe(m.COMPLETED, cells.run, cells.come)
    observe(m.REJECTED, cells.refused)
    observe(m.FALLBACKS, cells.fallbacks, word=m.WHY)
    instruments.observe(m.FAILURES, lambda: [(failures(), {})])


def _dispatched(cells: Cells) -> Iterator[tuple[Key, int]]:
    for (task, destination, transport, _), count in cells.run:
        yield (task, destination, transport, ""), count  # how it has ended is another counter's story
    yield from cells.left


def _sum(counts: Iterable[tuple[Key, int]]) -> Counter[Key]:
    total: Counter[Key] = Counter()
    for key, count in counts:
        total[key] += count  # two classes may have one name
    return total
