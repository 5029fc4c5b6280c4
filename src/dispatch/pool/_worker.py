"""One thread that takes items from a channel and runs them, until the channel is closed and drained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from dispatch._log import logger
from dispatch.channel import Channel
from dispatch.errors import EndOfChannel

T = TypeVar("T")

_SMOOTHING = 8
"""The running mean moves an eighth of the way to each new reading: the last two dozen items count."""


class Worker(threading.Thread, Generic[T]):
    """Runs items one after another. Its figures are written by itself alone and read by anybody."""

    def __init__(self, name: str, channel: Channel[T], run: Callable[[T], int]) -> None:
        # Daemonic, so that an exit is bounded by the dispatcher's grace and not by a task that never ends.
        super().__init__(name=name, daemon=True)
        self._channel = channel
        self._run_item = run
        self.busy = False
        self.finished = 0
        self.errors = 0
        self.service_ns = 0.0
        """Running mean of the time one item takes."""

    def run(self) -> None:
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
