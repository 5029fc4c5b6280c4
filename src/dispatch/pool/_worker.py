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


class Worker(threading.Thread, Generic[T]):
    """Runs items one after another. Its figures are written by itself alone and read by anybody."""

    def __init__(self, pool: str, number: int, channel: Channel[T], run: Callable[[T], int]) -> None:
        # Daemonic, so that an exit is bounded by the dispatcher's grace and not by a task that never ends.
        super().__init__(name=f"dispatch-{pool}-{number}", daemon=True)
        self.pool = pool
        self.depth = 0
        self._channel = channel
        self._run_item = run
        self.busy = False
        self.finished = 0
        self.errors = 0
        self.service_ns = 0.0
        """Running mean of the time one item takes."""

    def run(self) -> None:
        _here.worker = self
        receive = self._channel.receive
        while True:
            try:
                item = receive()
            except EndOfChannel:
                return
            self.busy = True
            try:
                self.service_ns += (self._run_item(item) - self.service_ns) / _SMOOTHING
            except BaseException:  # noqa: BLE001 - user code cannot raise here: this is a fault of ours
                self.errors += 1
                logger("pool").exception("a worker met an internal error and goes on", worker=self.name)
            del item  # an idle worker must not keep the last item's arguments alive
            self.finished += 1
            self.busy = False

    def run_inside(self, item: T) -> None:
        """Run an item that the one in hand waits for, here and now, unless others are nested too deep already."""
        if self.depth < _DEEPEST:
            self.depth += 1
            try:
                self._run_item(item)
            finally:
                self.depth -= 1


def is_worker() -> bool:
    """Whether the calling thread is a worker of any pool."""
    return hasattr(_here, "worker")


def run_in_place(item: Any, *, of: str) -> None:
    """If this thread is a worker of the pool named `of`, run `item` here instead of waiting for another worker.

    With every worker waiting for an item behind it, nobody would be left to run one.
    """
    worker: Worker[Any] | None = getattr(_here, "worker", None)
    if worker is not None and worker.pool == of:
        worker.run_inside(item)
