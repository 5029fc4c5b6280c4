"""One thread that takes items from a channel and runs them, until the channel is closed and drained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from dispatch._log import logger
from dispatch.channel import Channel
from dispatch.errors import EndOfChannel
from dispatch.pool._inside import Inside
from dispatch.pool._service import SERVICE_NS, SMOOTHING

T = TypeVar("T")

_here = threading.local()
"""In a worker's thread: the worker."""

_DEEPEST = 32
"""Calls run inside one another on one thread; beyond, a worker waits like anybody else."""


class Relieved(BaseException):
    """Raised in a worker whose place was taken while it was kept: it has nothing more to do."""


class Employer(Protocol[T]):
    """What a worker knows of its pool."""

    name: str
    channel: Channel[T]
    closing: threading.Event
    """Set when nobody should pause any longer."""

    def work(self, item: T) -> int:
        """Run an item, and say how many nanoseconds that took. What it raises is a fault of ours, or `Relieved`."""

    def straggler(self) -> T:
        """What there is to run after the end of the channel. Raises `EndOfChannel` when nothing more comes."""

    def lost(self, item: T) -> None:
        """An item was taken, and no worker will run it to its end."""

    def replace(self, worker: Worker[T]) -> bool:
        """Start another worker in the place of one that fell. False when none can be had."""


class Worker(threading.Thread, Generic[T]):
    """Runs items one after another. Its figures are written by itself alone and read by anybody.

    A worker that meets an internal error, or an exception from nowhere, has its item answered for and ends; its pool
    puts another in its place.
    """

    def __init__(self, employer: Employer[T], number: int, *, pause: float = 0.0) -> None:
        """`pause`: seconds before it takes anything, since the one before it fell too soon."""
        # Daemonic, so that an exit is bounded by the dispatcher's grace and not by a task that never ends.
        super().__init__(name=f"dispatch-{employer.name}-{number}", daemon=True)
        self.pool = employer.name
        self.number = number
        self.pause = pause
        self.depth = 0
        self._employer = employer
        self._channel = employer.channel
        self.run_item: Callable[[T], int] = employer.work
        self.item: T | None = None
        """The one in hand."""
        self.finished = 0
        self.errors = 0
        self.service_ns = float(SERVICE_NS)
        """Running mean of the time one item takes."""

    @property
    def busy(self) -> bool:
        return self.item is not None

    def run(self) -> None:
        _here.worker = self
        while not self._is_over():
            pass

    def _is_over(self) -> bool:
        """Serve to the end of all work, or fall and be replaced. False when this one has to go on after all."""
        try:
            served = self._serve(self._channel.receive) and self._serve(self._employer.straggler)
            return served or self._employer.replace(self)
        except Relieved:
            return True
        except BaseException:  # noqa: BLE001 - struck again while it fell
            self.errors += 1
            logger("pool").exception("a worker could not be replaced and goes on", worker=self.name)
            return False

    def _serve(self, receive: Callable[[], T]) -> bool:
        """Run what comes. True at its end; false when something else ended it."""
        item: T | None = None
        try:
            if self.pause:
                self._employer.closing.wait(self.pause)
            while True:
                item = receive()
                self.item = item
                self.service_ns += (self.run_item(item) - self.service_ns) / SMOOTHING
                item = None  # an idle worker must not keep the last item's arguments alive
                self.finished += 1
                self.item = None
        except Relieved:
            raise
        except BaseException as error:  # noqa: BLE001 - user code cannot raise here: this is a fault of ours, or odder
            if item is None and isinstance(error, EndOfChannel):
                return True
            self._fall(item)
            return False

    def _fall(self, item: T | None) -> None:
        self.errors += 1
        if item is not None:
            self._employer.lost(item)
            self.finished += 1
        self.item = None
        logger("pool").exception("a worker met an internal error and is replaced", worker=self.name)

    def run_inside(self, item: T) -> bool:
        """Run an item that the one in hand waits for, here and now, unless others are nested too deep already."""
        if self.depth >= _DEEPEST:
            return False
        self.depth += 1
        try:
            with Inside(item):
                self.run_item(item)
        except BaseException:
            self.errors += 1
            self._employer.lost(item)
            raise
        finally:
            self.depth -= 1
        return True


def current_worker() -> Worker[Any] | None:
    """The worker whose thread this is."""
    worker: Worker[Any] | None = getattr(_here, "worker", None)
    return worker


def is_worker() -> bool:
    """Whether the calling thread is a worker of any pool."""
    return current_worker() is not None


def is_worker_of(pool: str) -> bool:
    """Whether the calling thread is a worker of the pool with this name."""
    worker = current_worker()
    return worker is not None and worker.pool == pool


def run_in_place(item: Any) -> bool:
    """Run `item` here, in a worker of its pool, instead of waiting for another worker. False: not so deep.

    With every worker waiting for an item behind it, nobody would be left to run one.
    """
    worker = current_worker()
    return worker is not None and worker.run_inside(item)
