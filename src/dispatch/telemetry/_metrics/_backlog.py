"""Records on their way into the histograms, which take too long for the thread that has run the call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from dispatch._recorder import Finished
from dispatch.telemetry._failures import harmless

ROOM = 8192
"""A burst of so many calls is recorded whole."""

_AT_A_TIME = 20
_PAUSE = 0.01
"""Seconds between two handfuls: 2000 calls a second, some five hundredths of a core, and never for longer at a stretch
than half a millisecond, for which the workers would wait."""

_IDLE = 1.0
"""Seconds between two looks at a backlog that was empty: nobody rings, since that would cost each call."""

_PATIENCE = 2.0
"""Seconds that a reader, or a fork, waits for the handful that is being recorded."""


class Backlog:
    """Bounded: who finds no room is not recorded. A daemon thread empties it, and so does whoever collects."""

    def __init__(self, record: Callable[[Finished], object]) -> None:
        """`record` is called for one record at a time."""
        self._record = record
        self.waiting: deque[Finished] = deque()
        """To be appended to by any thread, as long as there are fewer than `ROOM`."""
        self._turn: threading.Lock
        self._over: threading.Event
        self._thread: threading.Thread | None
        self._begin()

    def start(self) -> None:
        """Have a thread empty it. Twice is once."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, args=(self._over,), name="dispatch-metrics", daemon=True)
            with suppress(RuntimeError):  # at the interpreter's end no thread can be started
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """The thread ends soon; nobody waits for it."""
        self._over.set()
        self._thread = None
        self._over = threading.Event()

    def hold(self) -> None:
        """Before a fork: nobody records now. The SDK's locks would be closed for ever in a child that met one so."""
        if self._turn.acquire(timeout=_PATIENCE):
            self._held_by.add(threading.get_ident())

    def let_go(self) -> None:
        """In the parent, after it."""
        if threading.get_ident() in self._held_by:
            self._held_by.discard(threading.get_ident())
            self._turn.release()

    def renew(self) -> None:
        """In a forked child: what waits is the parent's, and so is the thread."""
        self.waiting.clear()
        self._begin()

    def drain(self, most: int = ROOM) -> int:
        """Record what waits, at most so many; how many there were. When it returns, all that came before is in."""
        if not self._turn.acquire(timeout=_PATIENCE):
            return 0
        try:
            for done in range(most):
                try:
                    finished = self.waiting.popleft()
                except IndexError:
                    return done
                with harmless:
                    self._record(finished)
            return most
        finally:
            self._turn.release()

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._held_by: set[int] = set()
        self._over = threading.Event()
        self._thread = None

    def _run(self, over: threading.Event) -> None:
        pause = 0.0
        while not over.wait(pause):
            pause = _PAUSE if self.drain(_AT_A_TIME) == _AT_A_TIME else _IDLE
