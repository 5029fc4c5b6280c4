"""The watchman: a thread that empties a spool towards one place, round by round."""

from __future__ import annotations

import os
import random
import threading
import weakref
from time import monotonic

from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch.errors import DispatchError
from dispatch.spool._pause import Pause
from dispatch.spool._round import ForwarderStatistics, Rounds
from dispatch.spool._spool import Spool


class Watchman:
    """Goes rounds, one after the other, and rests when there was nothing to do or nothing could be done.

    In a forked child it goes to work with the first `add` there.
    """

    def __init__(self, spool: Spool, rounds: Rounds, *, poll: float, pause: Pause) -> None:
        """`poll`: seconds between two looks for what other processes have added, or what has become due; an `add` of
        this process is heard of at once.
        """
        self._spool = spool
        self._poll = poll
        self._pause = pause
        self._round = rounds
        self._begun = False
        self._shift = _Shift()
        _watchmen.add(self)

    @property
    def statistics(self) -> ForwarderStatistics:
        return self._round.statistics

    def start(self) -> None:
        """Go to work, in a daemon thread. Twice is once; after `close` it does nothing."""
        if not self._begun:
            self._begun = True
            self._spool.listen(self._wake)
        self._man(self._here())

    def once(self) -> ForwarderStatistics:
        """Instead of `start`: go rounds in the calling thread until nothing is due or nothing is accepted."""
        while (how := self._round.go()) == "went on" or self._round.busy:
            if how == "idle":
                self._shift.rest(self._poll, unless_woken=True)
        self._round.end()
        return self._round.statistics

    def close(self, grace: float) -> bool:
        """Take nothing more; what was taken is forwarded and written down. False when `grace` seconds were not enough:
        its rows are taken again when the lease is over. Twice is once.
        """
        self._spool.unlisten(self._wake)
        shift = self._here()
        with shift.bell:
            shift.closed = True
            shift.bell.notify()
            thread = shift.thread
        if thread is not None:
            thread.join(grace)
        return thread is None or not thread.is_alive()

    def begin_anew(self) -> None:
        """In a forked child, where the thread is gone, and what it had taken is the parent's."""
        closed = self._shift.closed
        self._shift = _Shift()
        self._shift.closed = closed
        self._round = self._round.anew()

    # ---- within

    def _here(self) -> _Shift:
        if self._shift.pid != os.getpid():  # a fork that ran no hooks
            self.begin_anew()
        return self._shift

    def _man(self, shift: _Shift) -> None:
        with shift.bell:
            if shift.thread is None and not shift.closed:
                thread = threading.Thread(
                    target=self._work, args=(shift, self._round), name="dispatch-forwarder", daemon=True
                )
                thread.start()
                shift.thread = thread

    def _wake(self) -> None:
        """Something was added. Called by the spool's writer."""
        shift = self._here()
        if shift.thread is None:
            self._man(shift)
        shift.wake()

    def _ring(self) -> None:
        """Something has come to its end, which the next round is to see soon."""
        self._shift.wake()

    def _work(self, shift: _Shift, round_: Rounds) -> None:
        failures = 0
        while not shift.closed:
            failures = self._go(shift, round_, failures)
        try:
            round_.end()
        except DispatchError as error:
            logger("spool").warning("a forwarder could not give up its lease, which ends by itself", error=str(error))

    def _go(self, shift: _Shift, round_: Rounds, failures: int) -> int:
        """One round, and the rest after it; how many rounds in a row have failed by then."""
        try:
            how = round_.go()
        except BaseException:  # noqa: BLE001 - whatever it is, the spool has to be emptied
            round_.statistics.errors += 1
            logger("spool").exception("a round of the spool's forwarder broke off, and another will follow")
            how = "in vain"
        if how == "in vain":
            shift.rest(self._pause.after(failures + 1), unless_woken=False)
            return failures + 1
        if how == "idle":
            shift.rest(self._poll * random.uniform(0.8, 1.2), unless_woken=True)  # noqa: S311 - to be out of step
        return 0


class _Shift:
    """The thread of one process, and its bell."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.bell = threading.Condition()
        self.thread: threading.Thread | None = None
        self.closed = False
        self.woken = False

    def wake(self) -> None:
        with self.bell:
            self.woken = True
            self.bell.notify()

    def rest(self, seconds: float, *, unless_woken: bool) -> None:
        """Until the time is over or it is closed, or, `unless_woken`, until something is added."""
        until = monotonic() + seconds
        with self.bell:
            while not self.closed and not (unless_woken and self.woken) and (left := until - monotonic()) > 0:
                self.bell.wait(left)
            self.woken = False


_watchmen: weakref.WeakSet[Watchman] = weakref.WeakSet()


def _begin_all_anew() -> None:
    for watchman in tuple(_watchmen):
        watchman.begin_anew()


renew_in_child(_begin_all_anew)
