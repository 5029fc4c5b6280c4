"""`after`: a channel that gets one item when its time has come. One thread serves them all."""

from __future__ import annotations

import heapq
import threading
import time
import weakref
from contextlib import suppress
from itertools import count
from threading import TIMEOUT_MAX
from typing import Final

from dispatch._fork import renew_in_child
from dispatch.channel._channel import Channel
from dispatch.errors import ChannelError

A_WHILE: Final = 5.0
"""Seconds that the thread stays when there is nothing to do."""
FEW: Final = 64
"""Timers that nobody waits for any more are not worth looking for among so few."""


def after(seconds: float) -> Channel[float]:
    """A channel that gets one item after `seconds`: the reading of `time.monotonic()` then.

    Nothing needs to be stopped: who drops the channel has dropped the timer.
    """
    channel: Channel[float] = Channel(1)
    if seconds <= 0:
        channel.send_nowait(time.monotonic())
    else:
        _timers.add(time.monotonic() + seconds, channel)
    return channel


class Timers:
    """What is due, soonest first, and the thread that waits for it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._due: list[tuple[float, int, weakref.ref[Channel[float]]]] = []
        self._numbers = count()
        self._running = False
        self._many = FEW

    def add(self, due: float, channel: Channel[float]) -> None:
        with self._changed:
            heapq.heappush(self._due, (due, next(self._numbers), weakref.ref(channel)))
            if len(self._due) > self._many:
                self._sweep()
            if not self._running:
                self._start()
            self._changed.notify()

    def _sweep(self) -> None:
        """Forget the timers whose channels nobody holds."""
        self._due = [entry for entry in self._due if entry[2]() is not None]
        heapq.heapify(self._due)
        self._many = max(FEW, 2 * len(self._due))

    def _run(self) -> None:
        """Serve until nothing is due for a while. Whatever ends that otherwise, another thread takes over."""
        channel: Channel[float] | None = None
        try:
            while (channel := self._next_due()) is not None:
                with suppress(ChannelError):  # its owner has closed it, or filled it
                    channel.send_nowait(time.monotonic())
                channel = None  # who drops it has dropped the timer
        except BaseException:
            with self._changed:
                if channel is not None:
                    heapq.heappush(self._due, (time.monotonic(), next(self._numbers), weakref.ref(channel)))
                self._start()
            raise

    def _next_due(self) -> Channel[float] | None:
        """Wait for the next channel whose time has come; `None` after a while with nothing to wait for."""
        with self._changed:
            while True:
                if not self._due and not self._changed.wait(A_WHILE) and not self._due:
                    self._running = False
                    return None
                if not self._due:
                    continue
                time_left = self._due[0][0] - time.monotonic()
                if time_left > 0:
                    self._changed.wait(min(time_left, TIMEOUT_MAX))
                elif (channel := heapq.heappop(self._due)[2]()) is not None:
                    return channel

    def _start(self) -> None:
        threading.Thread(target=self._run, name="dispatch-timers", daemon=True).start()
        self._running = True


_timers: Final = Timers()
# Channels and threads belong to their process; a lock that the parent held would never be released here.
renew_in_child(_timers.renew)
