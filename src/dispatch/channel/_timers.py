"""`after`: a channel that gets one item when its time has come. One thread serves them all."""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from typing import Final

from dispatch._fork import renew_in_child
from dispatch._timers import Timers
from dispatch.channel._channel import Channel
from dispatch.errors import ChannelError


def after(seconds: float) -> Channel[float]:
    """A channel that gets one item after `seconds`: the reading of `time.monotonic()` then.

    Nothing needs to be stopped: who drops the channel has dropped the timer.
    """
    channel: Channel[float] = Channel(1)
    if seconds <= 0:
        channel.send_nowait(time.monotonic())
    else:
        _timers.add(time.monotonic() + seconds, weakref.ref(channel))
    return channel


def _ring(waited_for: weakref.ref[Channel[float]]) -> None:
    channel = waited_for()
    if channel is not None:
        with suppress(ChannelError):  # its owner has closed it, or filled it
            channel.send_nowait(time.monotonic())


def _is_held(waited_for: weakref.ref[Channel[float]]) -> bool:
    return waited_for() is not None


_timers: Final = Timers("dispatch-timers", _ring, now=time.monotonic, unit=1.0, wanted=_is_held)
# Channels and threads belong to their process; a lock that the parent held would never be released here.
renew_in_child(_timers.renew)
