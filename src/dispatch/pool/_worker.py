"""One thread that takes items from a channel and runs them, until the channel is closed and drained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from dispatch._log import logger
from dispatch.channel import Channel
from dispatch.errors import EndOfChannel

T = TypeVar("T")

_here = threading.local()
"""In a worker's thread: the worker."""

_DEEPEST = 32
"""Calls run inside one another on one thread; beyond, a worker waits like anybody else."""

_SMOOTHING = 8
"""The running mean moves an eighth of the way to each new reading: the last two dozen items count."""


class Relieved(BaseException):
    """Raised in a worker whose place was taken while it was kept: it has nothing more to do."""


class Worker(threading.Thread, Generic[T]):
    """Runs items one after another. Its figures are written by itself alone and read by anybody."""

    def __init__(
        self, pool: str, number: int, channel: Channel[T], run: Callable[[T], int], afterwards: Callable[[], T]
    ) -> None:
        """`afterwards` gives what there is to run when the channel has ended, and raises `EndOfChannel` in its turn."""
        # Daemonic, so that an exit is bounded by the dispatcher's grace and not by a task that never ends.
        super().__init__(name=f"dispatch-{pool}-{number}", daemon=True)
        self.pool = pool
        self.depth = 0
        self._channel = channel
        self._run_item = run
        self._afterwards = afterwards
        self.busy = False
        self.finished = 0
        self.errors = 0
        self.service_ns = 0.0
        """Running mean of the time one item takes."""

    def run(self) -> None:
        _here.worker = self
        receive: Callable[[], T] = self._channel.receive
        while True:
            try:
                item = receive()
            except EndOfChannel:
                if receive == self._afterwards:
                    return
                receive = self._afterwards
                continue
            self.busy = True
            try:
                self.service_ns += (self._run_item(item) - self.service_ns) / _SMOOTHING
            except Relieved:
                return
            except BaseException:  # noqa: BLE001 - user code cannot raise here: this is a fault of ours
                self.errors += 1
                logger("pool").exception("a worker met an internal error and goes on", worker=self.name)
            del item  # an idle worker must not keep the last item's arguments alive
            self.finished += 1
            self.busy = False

    def run_inside(self, item: T) -> bool:
        """Run an item that the one in hand waits for, here and now, unless others are nested too deep already."""
        if self.depth >= _DEEPEST:
            return False
        self.depth += 1
        try:
            self._run_item(item)
        finally:
            self.depth -= 1
        return True


def current_worker() -> Worker[Any] | None:
    """The worker whose thread this is."""
    worker: Worker[Any] | None = getattr(_here, "worker", None)
    return worker


def is_worker_of(pool: str) -> bool:
    """Whether this thread is a worker of the pool with this name."""
    worker = current_worker()
    return worker is not None and worker.pool == pool


def run_in_place(item: Any) -> bool:
    """Run `item` here, in a worker of its pool, instead of waiting for another worker. False: not so deep.

    With every worker waiting for an item behind it, nobody would be left to run one.
    """
    worker = current_worker()
    return worker is not None and worker.run_inside(item)
