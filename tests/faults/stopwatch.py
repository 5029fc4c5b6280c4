"""How long calls take, beside a control that only sleeps: what the machine itself is late by is not our delay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Self

_NAP = 0.001


class Control:
    """For the length of the `with` block, a thread that sleeps a millisecond at a time and notes how late it wakes."""

    def __init__(self) -> None:
        self.overshoots: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began = monotonic()
        while not self._over.wait(_NAP):
            self.overshoots.append(monotonic() - began - _NAP)
            began = monotonic()


class Stopwatch:
    """Seconds that each call took, apart for those during which `is_open` said yes all the time."""

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self.all: list[float] = []
        self.while_open: list[float] = []
        self._is_open = is_open

    @contextmanager
    def running(self) -> Iterator[None]:
        open_before, began = self._is_open(), monotonic()
        try:
            yield
        finally:
            took = monotonic() - began
            self.all.append(took)
            if open_before and self._is_open():
                self.while_open.append(took)


def quantile(seconds: list[float], share: float) -> float:
    """The time within which so large a share of them was done."""
    return sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)]
