"""What handing a call over to a full pool may have to wait for."""

from __future__ import annotations

from time import monotonic

from dispatch._call import Call
from dispatch._outcome import Failure
from dispatch._waiting import leave_free, on_a_thread
from dispatch.errors import CallCancelled
from dispatch.pool import Bounded, CallersLoop, WeighedCallersLoop
from dispatch.transports.local._threads import Threads


class Room:
    """Waiting for room, and then being in."""

    under_way = False

    def __init__(self, pool: Bounded[Call], call: Call, timeout: float) -> None:
        self._pool = pool
        self._call = call
        self._deadline = monotonic() + timeout
        self.sent = False

    def wait(self) -> None:
        self.sent = self._pool.send(self._call, self._left())

    async def wait_async(self) -> None:
        if isinstance(self._pool, CallersLoop | WeighedCallersLoop):
            self.sent = await self._pool.asend(self._call, self._left())
        else:
            await on_a_thread(self.wait)

    def _left(self) -> float:
        return max(0.0, self._deadline - monotonic())


class Here:
    """`caller_runs`: the caller is the worker; a coroutine lends a thread instead of its loop."""

    under_way = False

    def __init__(self, functions: Threads, call: Call) -> None:
        self._functions = functions
        self._call = call

    def wait(self) -> None:
        self._functions.run_inline(self._call)

    async def wait_async(self) -> None:
        await on_a_thread(self.wait)


class InPlace(Here):
    """Nobody took the call, and the caller is a worker of the pool, which might wait for itself: it runs here."""

    async def wait_async(self) -> None:
        self.wait()


class Aside:
    """As `InPlace` for a coroutine, which has lent its slot to the call until that has ended."""

    under_way = False

    def __init__(self, call: Call) -> None:
        self._call = call

    def wait(self) -> None:
        raise AssertionError("a running event loop cannot wait for what runs on it")

    async def wait_async(self) -> None:
        try:
            await leave_free(self._call, None)
        except BaseException:
            call = self._call
            # Its caller is gone; if it runs already, it goes on.
            given_up = Failure(CallCancelled(f"call {call.id} was given up before it started"))
            call.settle(given_up, unless_running=True)
            raise
