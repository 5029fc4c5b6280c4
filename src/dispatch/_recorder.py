"""The last calls that ended in this process, or left it: what was asked, decided, and what it took.

Always on, for whoever looks afterwards; it keeps no arguments and no results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from dispatch._decision import Decision
from dispatch._fork import renew_in_child
from dispatch._ids import IdSpace
from dispatch._registry import TaskSpec

KEPT = 4096
"""As long as nobody says otherwise."""


class Finished(msgspec.Struct, frozen=True, gc=False):
    """One call. Times are `ticks` as in `Call`, 0 for a moment that never came, or came in another process."""

    spec: TaskSpec
    decision: Decision | None
    """`None`: refused before there was one."""
    space: IdSpace
    number: int
    told_id: str | None
    """The id that the caller gave, in place of ours."""
    payload: int | None
    entered: int
    decided: int
    serialized: int
    sent: int
    taken: int
    started: int
    ended: int
    due: int
    attempt: int
    error: type[BaseException] | None
    trace: Any
    """The span of its run where it was sampled; opaque to everybody but telemetry."""

    @property
    def id(self) -> str:
        return self.told_id or self.space.text(self.number)


class Recorder:
    """A bounded ring: the oldest makes room for the newest. Safe from any thread, and empty in a forked child."""

    __slots__ = ("_ring", "_told", "note")

    def __init__(self) -> None:
        self._told: tuple[Callable[[Finished], object], ...] = ()
        self._ring: deque[Finished] = deque(maxlen=KEPT)
        self.note: Callable[[Finished], object] | None = None
        """Takes each call as it ends; `None`: nobody wants it, and it need not be made."""
        self.keep(KEPT)

    def keep(self, most: int) -> None:
        """Remember at most so many from now on, and the latest of those that it has; 0: none."""
        if most != self._ring.maxlen or self.note is None:
            self._ring = deque(self._ring, maxlen=most)
            self._rewire()

    def tell(self, listener: Callable[[Finished], object]) -> None:
        """Have `listener` told of each call as well, in the thread that ends it. It must be quick, and never raise."""
        if listener not in self._told:
            self._told = (*self._told, listener)
            self._rewire()

    def spare(self, listener: Callable[[Finished], object]) -> None:
        """Take back `tell`."""
        self._told = tuple(each for each in self._told if each != listener)
        self._rewire()

    def calls(self) -> list[Finished]:
        """Those that it has, the oldest first."""
        while True:
            try:
                return list(self._ring)
            except RuntimeError:  # a call ended meanwhile
                continue

    def renew(self) -> None:
        """In a forked child: what is in here was the parent's."""
        self._ring = deque(maxlen=self._ring.maxlen)
        self._rewire()

    def _rewire(self) -> None:
        ring, told = self._ring, self._told
        if not told:
            # `deque.append` is one step for the interpreter: no lock is needed.
            self.note = ring.append if ring.maxlen else None
            return

        def note(finished: Finished) -> None:
            ring.append(finished)
            for listener in told:
                listener(finished)

        self.note = note


recorder = Recorder()
renew_in_child(recorder.renew)
