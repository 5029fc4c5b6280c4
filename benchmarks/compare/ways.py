"""The contestants, each as a caller uses it: submit a call, and wait until all that was submitted has run."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from benchmarks.compare import shop

WORKERS = 4
"""Threads or coroutines of those that run calls in the caller's process."""

PATIENCE = 600.0


class Way(Protocol):
    """One contestant, in the process that calls."""

    def nothing(self, payload: Any = None) -> None: ...

    def stamp(self, intended: int) -> None: ...

    def hold(self, gate: threading.Event) -> None:
        """Keep every worker of this process busy until the gate opens; those behind a broker are not started yet."""

    def drained(self) -> list[int]:
        """Wait until everything has run; by how much the stamped calls were late."""

    def close(self) -> None: ...


class Executor:
    """`concurrent.futures.ThreadPoolExecutor`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS)
        self._sent: list[Future[None]] = []

    def nothing(self, payload: Any = None) -> None:
        self._sent.append(self._pool.submit(shop.nothing, payload))

    def stamp(self, intended: int) -> None:
        self._sent.append(self._pool.submit(shop.stamp, intended))

    def hold(self, gate: threading.Event) -> None:
        for _ in range(WORKERS):
            self._sent.append(self._pool.submit(shop.hold, gate))

    def drained(self) -> list[int]:
        for each in self._sent:
            each.result()
        self._sent.clear()
        return shop.collect()

    def close(self) -> None:
        self._pool.shutdown()


class Asyncio:
    """An `asyncio.Queue` and coroutines that read it, on a loop in a thread of its own, as a caller outside has to."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._queue: asyncio.Queue[tuple[Callable[..., None], Any]] = asyncio.Queue()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._workers = [asyncio.run_coroutine_threadsafe(self._work(), self._loop) for _ in range(WORKERS)]

    async def _work(self) -> None:
        while True:
            run, argument = await self._queue.get()
            if run is shop.hold:
                await asyncio.to_thread(run, argument)  # the loop goes on taking what is submitted
            else:
                run(argument)
            self._queue.task_done()

    def nothing(self, payload: Any = None) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (shop.nothing, payload))

    def stamp(self, intended: int) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (shop.stamp, intended))

    def hold(self, gate: threading.Event) -> None:
        for _ in range(WORKERS):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (shop.hold, gate))

    def drained(self) -> list[int]:
        asyncio.run_coroutine_threadsafe(self._queue.join(), self._loop).result(PATIENCE)
        return shop.collect()

    def close(self) -> None:
        for each in self._workers:
            each.cancel()
        for _ in self._workers:  # a turn of the loop for each, in which it ends
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Channel:
    """`dispatch.Channel` and threads that receive from it: no task, no handle, no policy."""

    def __init__(self, capacity: int = 1 << 20) -> None:
        import dispatch

        self.channel: Any = dispatch.Channel(capacity)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for each in self._threads:
            each.start()

    def _work(self) -> None:
        for run, argument in self.channel:
            run(argument)

    def nothing(self, payload: Any = None) -> None:
        self.channel.send((shop.nothing, payload))

    def stamp(self, intended: int) -> None:
        self.channel.send((shop.stamp, intended))

    def hold(self, gate: threading.Event) -> None:
        for _ in range(WORKERS):
            self.channel.send((shop.hold, gate))

    def drained(self) -> list[int]:
        """One marker for each thread, and nobody goes on before all are there: then nothing else is running."""
        met = threading.Barrier(WORKERS + 1)
        for _ in range(WORKERS):
            self.channel.send((lambda barrier: barrier.wait(PATIENCE), met))
        met.wait(PATIENCE)
        return shop.collect()

    def close(self) -> None:
        self.channel.close()
        for each in self._threads:
            each.join()


class Local:
    """dispatch, decided by a policy for a local destination: task, handle and all."""

    def __init__(self) -> None:
        self._tasks = importlib.import_module("benchmarks.compare.routed")
        import dispatch

        self._dispatcher = dispatch.configure(policy=os.environ["COMPARE_POLICY"])
        self._sent: list[Any] = []

    def nothing(self, payload: Any = None) -> None:
        self._sent.append(self._tasks.nothing.delay(payload))

    def stamp(self, intended: int) -> None:
        self._sent.append(self._tasks.stamp.delay(intended))

    def hold(self, gate: threading.Event) -> None:
        for _ in range(WORKERS):
            self._sent.append(self._tasks.hold.delay(gate))

    def drained(self) -> list[int]:
        for each in self._sent:
            each.result(PATIENCE)
        self._sent.clear()
        return shop.collect()

    def close(self) -> None:
        import dispatch

        dispatch.shutdown(5)


class Remote:
    """Through a broker: what runs last in the one worker process tells that all has run."""

    def __init__(self, module: str) -> None:
        tasks = importlib.import_module(f"benchmarks.compare.{module}")
        self._nothing, self._stamp, self._collect = tasks.nothing.delay, tasks.stamp.delay, tasks.collect.delay

    def nothing(self, payload: Any = None) -> None:
        self._nothing(payload)

    def stamp(self, intended: int) -> None:
        self._stamp(intended)

    def hold(self, gate: threading.Event) -> None:
        """Nothing: its worker is started when the calls are there."""

    def drained(self) -> list[int]:
        said: list[int] = self._collect().get(timeout=PATIENCE)
        return said

    def close(self) -> None:
        """Connections end with the process."""


class Routed(Remote):
    """The same through dispatch."""

    def __init__(self) -> None:
        import dispatch

        dispatch.configure(policy=os.environ["COMPARE_POLICY"])
        super().__init__("routed")

    def close(self) -> None:
        import dispatch

        dispatch.shutdown(30)


MAKE: dict[str, Callable[[], Way]] = {
    "executor": Executor,
    "asyncio": Asyncio,
    "channel": Channel,
    "local": Local,
    "plain": lambda: Remote("plain"),
    "routed": Routed,
}
