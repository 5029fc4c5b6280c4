"""What handing a call over to a full pool may have to wait for."""

from __future__ import annotations

from time import monotonic

from dispatch._call import Call
from dispatch._waiting import on_a_thread
from dispatch.pool import CallersLoop, Pool
from dispatch.transports.local._coroutines import LoopOfCalls
from dispatch.transports.local._threads import Threads


class Room:
    """Waiting for room, and then being in."""

    def __init__(self, pool: Pool[Call] | LoopOfCalls, call: Call, timeout: float) -> None:
        self._pool = pool
        self._call = call
        self._deadline = monotonic() + timeout
        self.sent = False

    def wait(self) -> None:
        self.sent = self._pool.send(self._call, self._left())

    async def wait_async(self) -> None:
        if isinstance(self._pool, CallersLoop):
            self.sent = await self._pool.asend(self._call, self._left())
        else:
            await on_a_thread(self.wait)

    def _left(self) -> float:
        return max(0.0, self._deadline - monotonic())


class Here:
    """`caller_runs`: the caller is the worker; a coroutine lends a thread instead of its loop."""

    def __init__(self, functions: Threads, call: Call) -> None:
        self._functions = functions
        self._call = call

    def wait(self) -> None:
        self._functions.run_inline(self._call)

    async def wait_async(self) -> None:
        await on_a_thread(self.wait)
