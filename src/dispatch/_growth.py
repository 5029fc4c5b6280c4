"""By how much memory has grown with the calls of each task: a leak has a name."""

from __future__ import annotations

from collections import Counter

from dispatch._clock import ticks
from dispatch._fork import renew_in_child
from dispatch._recorder import recorder

_LOCAL = ("local", "inline")


class Growth:
    """Of one process, in bytes, net: what a task gives back is taken off. Safe from any thread."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """In a forked child: nothing of it is the child's."""
        self.measured: Counter[str] = Counter()
        """In worker processes, where one call runs at a time: before and after each."""
        self.estimated: Counter[str] = Counter()
        """In this process, where calls run side by side: shared among those that have ended since the last look."""
        self._last: tuple[int, int] | None = None

    def measure(self, task: str, grown: int) -> None:
        """A worker process has grown by so much with a call of `task`."""
        if grown:
            self.measured[task] += grown

    def look(self, resident: int) -> None:
        """This process holds so much now. By one thread; what changed is shared in proportion to the time they ran."""
        before, self._last = self._last, (ticks(), resident)
        if before is None or before[1] == resident:
            return
        since, was = before
        ran: Counter[str] = Counter()
        for call in recorder.calls():
            is_here = call.decision is not None and call.decision.transport in _LOCAL
            # What ran in a worker process was measured there.
            if call.ended > since and call.started and is_here and call.spec.name not in self.measured:
                ran[call.spec.name] += call.ended - call.started
        for task, time in ran.items():
            self.estimated[task] += round((resident - was) * time / (ran.total() or 1))


growth = Growth()
renew_in_child(growth.renew)
