"""How something is spread, as a drawing: time from left to right, and above it the calls that took so long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._traces_place import so_many
from dispatch.cli._waterfall import plain

_HEIGHT = 3
_WIDEST = 100
_NARROWEST = 24
_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:#"
_STYLES = {"local": "green", "celery": "blue"}

Buckets = Sequence[tuple[float, int]]
"""Microseconds, and how many calls took about that long."""


class Plot:
    """One drawing below the other, on one axis, on which each tick is ten times the last; as wide as the console.

    Each is as high as its own fullest column.
    """

    def __init__(self, spreads: Mapping[str, Buckets]) -> None:
        self._spreads = {name: [*buckets] for name, buckets in spreads.items() if buckets}
        times = [us for buckets in self._spreads.values() for us, _ in buckets if us > 0]
        self._first = floor(log10(min(times, default=1)))
        self._last = max(ceil(log10(max(times, default=1))), self._first + 1)

    def __bool__(self) -> bool:
        return bool(self._spreads)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = {name: _names(name, buckets) for name, buckets in self._spreads.items()}
        margin = max(len(word) for words in names.values() for word in words) + 1
        width = max(_NARROWEST, min(options.max_width - margin - _LAST_NAME, _WIDEST))
        ramp = _ASCII if options.ascii_only else _BLOCKS
        for name, buckets in self._spreads.items():
            for word, row in zip(names[name], _rows(self._columns(buckets, width), ramp), strict=True):
                yield Text.assemble(word.ljust(margin), (row, _STYLES.get(name, "")), no_wrap=True)
        yield from self._axis(margin, width, is_ascii=options.ascii_only)

    def _columns(self, buckets: Buckets, width: int) -> list[int]:
        columns = [0] * width
        for us, count in buckets:
            place = (log10(us) - self._first) / (self._last - self._first) * width if us > 0 else 0
            columns[min(width - 1, max(0, int(place)))] += count
        return columns

    def _axis(self, margin: int, width: int, *, is_ascii: bool) -> Iterator[Text]:
        line, tick = ("-", "+") if is_ascii else ("─", "┴")
        decades = range(self._first, self._last + 1)
        ticks = {round((decade - self._first) / (self._last - self._first) * width): decade for decade in decades}
        yield Text(
            " " * margin + "".join(tick if at in ticks else line for at in range(width + 1)), "dim", no_wrap=True
        )
        words = ""
        for at, decade in ticks.items():
            if at > len(words) or not words:  # there may be more decades than room for their names
                words = words.ljust(at) + show_duration(10.0**decade * 1e3)
        yield Text(" " * margin + (words.replace("µ", "u") if is_ascii else words), "dim", no_wrap=True)


_LAST_NAME = 7
"""Columns for the name of the last tick, which begins where the axis ends."""


def _names(name: str, buckets: Buckets) -> tuple[str, ...]:
    """What stands before each row."""
    return plain(name), so_many(sum(count for _, count in buckets), "call"), ""


def _rows(columns: Sequence[int], ramp: str) -> Iterator[str]:
    """From the top. A column with a single call is seen, however many another has."""
    steps = len(ramp) - 1
    fullest = max(columns)
    levels = [max(1, round(count / fullest * steps * _HEIGHT)) if count else 0 for count in columns]
    for row in reversed(range(_HEIGHT)):
        yield "".join(ramp[min(steps, max(0, level - row * steps))] for level in levels).rstrip()
