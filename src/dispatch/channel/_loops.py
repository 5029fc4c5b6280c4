"""Bells for coroutines: rung from any thread, they wake the coroutine in its own event loop."""

# Who rings may have an item in the hand, and `loop.call_soon_threadsafe` is Python code, in which an interrupt may
# fall. So ringing puts the future on a queue and a byte into a socket, both in C, and the loop that listens at the
# socket's other end does the rest. One pair of sockets serves all the waiting coroutines of a loop.

from __future__ import annotations

import asyncio
import queue
import socket
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import methodcaller
from queue import Empty, SimpleQueue
from typing import Final


class LoopBell:
    """Rung once, it wakes whoever awaits `rung`. Further rings find nothing to do."""

    __slots__ = ("release", "rung")

    def __init__(self, doorstep: Doorstep) -> None:
        self.rung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        steps: tuple[Callable[[], object], ...] = (
            partial(doorstep.rung.put, self.rung),
            partial(doorstep.knocking.send, b"\0"),
        )
        self.release = partial(deque[object](maxlen=0).extend, map(methodcaller("__call__"), steps))

    def wake(self) -> None:
        """Ring from the loop itself."""
        if not self.rung.done():
            self.rung.set_result(None)


class Doorstep:
    """Where an event loop hears that a bell was rung."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rung: SimpleQueue[asyncio.Future[None]] = queue.SimpleQueue()
        self._listening, self.knocking = socket.socketpair()
        self._listening.setblocking(False)  # noqa: FBT003 - its only argument
        self.knocking.setblocking(False)  # noqa: FBT003 - its only argument
        loop.add_reader(self._listening, self._answer)

    def _answer(self) -> None:
        with suppress(BlockingIOError):
            self._listening.recv(4096)
        with suppress(Empty):
            while True:
                rung = self.rung.get_nowait()
                if not rung.done():
                    rung.set_result(None)

    def close(self) -> None:
        self._listening.close()
        self.knocking.close()


_doorsteps: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Doorstep]] = weakref.WeakKeyDictionary()


def bell() -> LoopBell:
    """A bell for a coroutine of the running loop."""
    loop = asyncio.get_running_loop()
    doorstep = _doorsteps.get(loop)
    if doorstep is None:
        for other, its_doorstep in list(_doorsteps.items()):
            if other.is_closed():
                its_doorstep.close()
                _doorsteps.pop(other, None)
        doorstep = _doorsteps[loop] = Doorstep(loop)
        weakref.finalize(loop, doorstep.close)
    return LoopBell(doorstep)
