"""The worker processes of one pool: started when none is free, kept for the next call."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import Any

from dispatch.pool._renewal import renew_in_children
from dispatch.pool.processes._child import Child

_FAREWELL = 1.0
"""Seconds that a process gets to end in when the grace is over; then it is killed."""

_START_NS = 500_000_000
"""Until one was measured: an interpreter, and the modules of this package."""

_SMOOTHING = 4


class Dismissed(Exception):
    """The crew was dismissed, and starts no more processes."""


class Crew:
    """Hands out worker processes, one for each thread that asks, and takes them back. Safe from any thread."""

    def __init__(self, program: Path, told: dict[str, Any]) -> None:
        """`program` and `told` are those of each `Child`."""
        self._program = program
        self.told = told
        self.start_ns = _START_NS
        """How long the last ones took to start."""
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        for child in getattr(self, "_all", ()):
            child.disown()
        self._turn = threading.Lock()
        self._all: set[Child] = set()
        self._free: list[Child] = []
        self._dismissed = False

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self._all)

    @property
    def has_free(self) -> bool:
        return bool(self._free)

    def take(self) -> Child:
        """A worker process that waits for work; the one used last, so that few are kept warm.

        Raises `Dismissed`, `Died` when a new one did not start, and `OSError` when the machine gives none.
        """
        while True:
            with self._turn:
                if self._dismissed:
                    raise Dismissed
                child = self._free.pop() if self._free else None
            if child is None:
                return self._start()
            if child.alive:
                return child
            self.bury(child)  # it died while nobody used it

    def give_back(self, child: Child) -> None:
        """It has answered, and waits for work."""
        with self._turn:
            if not self._dismissed:
                self._free.append(child)
                return
        self.retire(child)

    def retire(self, child: Child) -> None:
        """It has answered, and is not needed any more."""
        child.finish()
        self.bury(child)

    def bury(self, child: Child) -> None:
        """It has ended, or is about to; what is left of it after some seconds is killed."""
        child.wait_end()
        with self._turn:
            if child not in self._all:
                return  # a fork of its parent has disowned it
            self._all.discard(child)
        child.close()

    def dismiss(self, grace: float) -> None:
        """Start no more, and end all there are: the idle in order, the busy by SIGTERM. Twice is once.

        After `grace` seconds, at least one, whoever is left is killed.
        """
        with self._turn:
            self._dismissed = True
            idle, self._free = self._free, []
            busy = self._all.difference(idle)
        for child in idle:
            child.finish()
        for child in busy:
            child.terminate()
        deadline = monotonic() + max(grace, _FAREWELL)
        for child in (*idle, *busy):
            child.wait_end(max(0.0, deadline - monotonic()))
        for child in idle:
            self.bury(child)  # a busy one is buried by the thread that uses it

    def _start(self) -> Child:
        began = perf_counter_ns()
        with self._turn:
            # In one turn with the look: whoever dismisses the crew must find every process there is.
            if self._dismissed:
                raise Dismissed
            child = Child(self._program, self.told)
            self._all.add(child)
        try:
            child.wait_ready()
        except BaseException:
            self.bury(child)
            raise
        self.start_ns += (perf_counter_ns() - began - self.start_ns) // _SMOOTHING
        return child
