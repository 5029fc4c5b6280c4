"""The runner: what a forwarder is where spooled calls are run in this process."""

from __future__ import annotations

from dispatch.spool._pause import Pause
from dispatch.spool._run_round import Run, RunRound
from dispatch.spool._spool import Spool
from dispatch.spool._watchman import Watchman


class Runner(Watchman):
    """A forwarder that has up to `count` calls running at a time, and writes down each as it ends."""

    def __init__(
        self,
        spool: Spool,
        broker: str,
        run: Run,
        *,
        count: int,
        lease: float = 30.0,
        poll: float = 1.0,
        pause: Pause | None = None,
    ) -> None:
        pause = pause if pause is not None else Pause()
        rounds = RunRound(spool, broker, run, self._ring, count=count, lease=lease, pause=pause)
        super().__init__(spool, rounds, poll=poll, pause=pause)
