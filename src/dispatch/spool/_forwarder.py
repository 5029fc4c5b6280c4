"""The forwarder: empties a spool towards one broker, whenever that can be reached."""

from __future__ import annotations

from dispatch.spool._pause import Pause
from dispatch.spool._round import Forward, Round
from dispatch.spool._spool import Spool
from dispatch.spool._watchman import Watchman


class Forwarder(Watchman):
    """Takes what is due, oldest first, and hands it to `forward`, while no other forwarder of the broker is at work.

    Row by row, what was refused waits longer each time, so that it never stands before others; and when nothing at all
    was accepted, the forwarder pauses, too.
    """

    def __init__(
        self,
        spool: Spool,
        broker: str,
        forward: Forward,
        *,
        count: int = 100,
        lease: float = 30.0,
        poll: float = 1.0,
        pause: Pause | None = None,
    ) -> None:
        """`count`: rows at once. `lease`: seconds until another process may take over from one that died."""
        pause = pause if pause is not None else Pause()
        rounds = Round(spool, broker, forward, count=count, lease=lease, pause=pause)
        super().__init__(spool, rounds, poll=poll, pause=pause)
