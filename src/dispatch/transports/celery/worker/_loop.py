"""The event loop on which a worker's process runs its coroutine tasks: one, whatever the pool, made by the first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from dispatch._executor import execute_async
from dispatch._fork import renew_in_child
from dispatch._outcome import Failure, Outcome
from dispatch._registry import TaskSpec
from dispatch.errors import NotConfigured
from dispatch.pool import LoopThread, unsound
from dispatch.transports.celery.worker._timeout import timed_out


class _Loop:
    """One for each process; a forked child makes its own."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.starting = threading.Lock()
        self.thread: LoopThread | None = None

    def __call__(self) -> asyncio.AbstractEventLoop:
        with self.starting:
            if self.thread is None:
                self.thread = LoopThread("dispatch-worker-loop")
            return self.thread.loop


_loop = _Loop()
renew_in_child(_loop.renew)


def run_on_loop(spec: TaskSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outcome:
    """`execute` for a coroutine function: run it on this process's loop, in the caller's context, and wait for it.

    After the task's `timeout` the coroutine is cancelled, and the outcome is `CallTimeout`, whether it heeds that or
    not. What Celery raises into the waiting thread, a time limit or the worker's end, is the outcome as well, and
    the coroutine is cancelled. Under green threads no loop can work: then the outcome is
    `NotConfigured`, with the cure.
    """
    why = unsound()
    if why is not None:
        cure = "start this worker with `--pool prefork`, `threads` or `solo`"
        return Failure(NotConfigured(f"{spec.name} is a coroutine function and cannot run here: {why}; {cure}"))
    # It takes the context of this thread along, and in it the current span.
    running = asyncio.run_coroutine_threadsafe(execute_async(spec.function, args, kwargs), _loop())
    try:
        return running.result(None if spec.timeout_ns is None else spec.timeout_ns / 1e9)
    except TimeoutError:
        running.cancel()
        return Failure(timed_out(spec))
    except BaseException as error:  # noqa: BLE001 - the coroutine's own errors are in its outcome
        running.cancel()
        return Failure(error, error.__traceback__.tb_next if error.__traceback__ else None)
