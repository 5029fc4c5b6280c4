"""What one meter provider is told of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from opentelemetry.metrics import Meter

from dispatch._recorder import Finished, recorder
from dispatch.telemetry._metrics._backlog import ROOM, Backlog
from dispatch.telemetry._metrics._cells import Cells
from dispatch.telemetry._metrics._counters import observe_counters
from dispatch.telemetry._metrics._gauges import Figures, Gauges
from dispatch.telemetry._metrics._histograms import Histograms
from dispatch.telemetry._metrics._instruments import Instruments, Reading
from dispatch.telemetry._metrics._table import DROPPED

Level: TypeAlias = Literal["counters", "default", "all"]


class Books:
    """All instruments of a provider, each made once, and what fills them: every call that the recorder hears of.

    Between `open` and `close`; what it has counted by then stays. Opened and closed by one thread at a time.
    """

    def __init__(self, meter: Meter, figures: Figures) -> None:
        self._instruments = Instruments(meter)
        self._cells = Cells()
        self._backlog = Backlog(self._record)
        self._level: Level | None = None
        self._note: Callable[[Finished], None] = self._cells.noting(None, 0)
        self.histograms: Histograms | None = None
        observe_counters(self._instruments, self._cells)
        self._instruments.observe(DROPPED, self._dropped)
        Gauges(self._instruments, figures)

    def open(self, level: Level) -> None:
        """Hear of each call from now on. Twice is once, and starts the thread that a fork has lost."""
        self._instruments.is_over = False
        if level != self._level:
            recorder.spare(self._note)
            counts_only = level == "counters"
            self.histograms = None if counts_only else Histograms(self._instruments, every=level == "all")
            self._note = self._cells.noting(None if counts_only else self._backlog.waiting, ROOM)
            self._level = level
        recorder.tell(self._note)
        if self.histograms is not None:
            self._backlog.start()

    def close(self) -> None:
        """Another provider has taken this one's place, or nobody wants to know any more."""
        self._instruments.is_over = True
        recorder.spare(self._note)
        self._backlog.stop()

    def hold(self) -> None:
        """Before a fork; `let_go` after it, in the parent, and `renew` in the child."""
        self._backlog.hold()

    def let_go(self) -> None:
        self._backlog.let_go()

    def renew(self) -> None:
        """In a forked child: what was counted is the parent's to tell."""
        self._cells.clear()
        self._backlog.renew()

    def _record(self, finished: Finished) -> None:
        if self.histograms is not None:
            self.histograms.record(finished)

    def _dropped(self) -> Reading:
        # Asked at each collection: so whoever collects finds every call that has ended by then.
        self._backlog.drain()
        with self._cells.reading:
            return [(self._cells.dropped.value, {})]
