"""One round where calls are run instead of forwarded: each is written down when it ends, whatever the others do."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Literal, TypeAlias

from dispatch._clock import wall
from dispatch.spool._entry import Row, Verdict
from dispatch.spool._pause import Pause
from dispatch.spool._round import ForwarderStatistics
from dispatch.spool._spool import Spool

Ended: TypeAlias = Callable[[Verdict], None]

Run: TypeAlias = Callable[[Row, Ended], None]
"""Begins to run a call and does not wait for it; says once what became of it, from any thread. Must not raise."""


class RunRound:
    """A `Round` that keeps up to `count` calls in hand, and its lease for as long as it has any."""

    def __init__(
        self, spool: Spool, broker: str, run: Run, wake: Callable[[], object], *, count: int, lease: float, pause: Pause
    ) -> None:
        """`wake` has the next round begin soon; it is called whenever a call has ended."""
        self.spool = spool
        self.broker = broker
        self.run = run
        self.wake = wake
        self.count = count
        self.lease = lease
        self.pause = pause
        self.statistics = ForwarderStatistics()
        self._owner = secrets.token_hex(8)
        self._in_hand: dict[str, Row] = {}
        """Taken, and not written down yet."""
        self._ended: deque[Verdict] = deque()
        self._renewed = 0.0

    @property
    def busy(self) -> bool:
        return bool(self._in_hand)

    def anew(self) -> RunRound:
        """The same for a forked child: another owner, with nothing in hand."""
        return RunRound(
            self.spool, self.broker, self.run, self.wake, count=self.count, lease=self.lease, pause=self.pause
        )

    def go(self) -> Literal["idle", "went on", "in vain"]:
        """Never waits for a call. Raises `DispatchError` for trouble with the disk."""
        self._write_down()
        if self._in_hand and monotonic() - self._renewed > self.lease / 3:
            self.spool.renew(self.broker, self._owner, lease=self.lease)
            self._renewed = monotonic()
        free = self.count - len(self._in_hand)
        if free <= 0 or not self.spool.is_due(self.broker):
            return "idle"
        rows = self.spool.take(self.broker, self._owner, count=free, lease=self.lease)
        if not rows:
            return "idle"  # another process has the lease
        self._renewed = monotonic()
        self._in_hand.update((row.id, row) for row in rows)
        for row in rows:
            self.run(row, self._end)
        return "went on"

    def end(self) -> None:
        """Let another process begin at once, unless something still runs here. Raises as `go` does."""
        self._write_down()
        if not self._in_hand:
            self.spool.release(self.broker, self._owner)

    # ---- within

    def _end(self, verdict: Verdict) -> None:
        self._ended.append(verdict)
        self.wake()

    def _write_down(self) -> None:
        ended = tuple(self._ended)
        if not ended:
            return
        self.spool.settle(self._owner, [(verdict, self._again(verdict)) for verdict in ended])
        for verdict in ended:
            self._ended.popleft()
            del self._in_hand[verdict.id]
            setattr(self.statistics, verdict.what, getattr(self.statistics, verdict.what) + 1)

    def _again(self, verdict: Verdict) -> int:
        row = self._in_hand[verdict.id]
        return wall() + round(self.pause.after(row.tries + row.unended + 1) * 1e9)
