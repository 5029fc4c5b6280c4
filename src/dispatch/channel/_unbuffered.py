"""The unbuffered channel: a receiver puts a permit out, and the sender who takes it brings the item."""

# Beside the invariants of _channel.py:
#
#   - permits + items = receivers under way + permits left behind;
#   - a receiver that goes away without an item takes one permit off the queue first. When none lies there, each is
#     with a sender or has become an item, so there is one for every receiver under way, and it comes at once;
#   - only an interrupted receiver may not wait for that. It leaves its permit behind, which `_left` counts, and a
#     later receiver takes that one over instead of issuing another;
#   - who stands at the door (`_door` counts them) is about to take a permit as soon as one is put out, or to leave.

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from itertools import islice
from queue import Empty
from typing import TypeVar

from dispatch.channel._bells import ring
from dispatch.channel._channel import ENDED, Channel
from dispatch.channel._marks import END, PERMIT, End
from dispatch.channel._taking import LOOK, endlessly
from dispatch.errors import EndOfChannel, WouldWait

T = TypeVar("T")

A_MOMENT = 0.001
"""Seconds that a sender at the door gets to wake up, before `receive_nowait` looks whether one still stands there."""


class Unbuffered(Channel[T], buffered=False):
    """Nothing waits in it: each item goes from a sender to a receiver who asked for one."""

    __slots__ = ("_door", "_issue", "_left", "_take_over")

    def __init__(self, capacity: int = 0) -> None:
        super().__init__(capacity)
        self._door: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._left: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._issue = endlessly(self._permits.put, PERMIT)
        self._take_over = endlessly(self._left.get, LOOK)

    def send(self, item: T, timeout: float | None = None) -> None:
        try:
            self._door.put(None)
            super().send(item, timeout)
        finally:
            self._door.get_nowait()

    def receive(self, timeout: float | None = None) -> T:
        try:
            if timeout is None:
                return self._receive(self._next_item)
            if timeout <= 0:
                return self.receive_nowait()
            return self._receive(self._next_item_within(timeout))
        except (Empty, WouldWait):
            pass
        raise TimeoutError(f"nobody sent anything within {timeout} s")

    def receive_nowait(self) -> T:
        # A sender at the door needs our permit and a moment to wake up: that is handing over, not waiting for one.
        while self._door.qsize() or self._left.qsize() or self._closed:
            try:
                return self._receive(self._next_item_within(A_MOMENT))
            except Empty:
                pass
        raise WouldWait(f"nobody waits to send to {self!r}")

    def _receive(self, arriving: Iterator[T | End]) -> T:
        """Ask for an item and leave with it. Raises `EndOfChannel`, and `Empty` when `arriving` does."""
        self._ask()
        try:
            ring(self._ring_sender)
            while True:
                item = self._take(arriving)
                if item is not END:
                    return item
                if self._withdraw():
                    break
                # A sender has our permit. The item will be here in a moment, or the permit.
                arriving = self._next_item_now
                time.sleep(0)
        except BaseException:
            if not self._withdraw():
                self._left.put(None)
            raise
        if not self._closed:
            raise Empty
        if self._left.qsize():
            return self._receive(self._next_item_now)
        raise EndOfChannel(ENDED)

    def _ask(self) -> None:
        """Put a permit out, or take over one that was left behind."""
        try:
            if self._left.qsize():
                for _ in self._take_over:
                    return
        except Empty:
            pass
        for _ in self._issue:
            return

    def _take(self, arriving: Iterator[T | End]) -> T | End:
        """The next item, or END when the channel says so or none came."""
        try:
            for item in arriving:
                if item is END:
                    self._put_item(END)
                    ring(self._ring_receiver)
                return item
        except Empty:
            pass
        return END

    def _withdraw(self) -> bool:
        """Take one permit off the queue; false when there is none."""
        try:
            # Two looks: the first may meet the END mark, with a permit behind it.
            for permit in islice(self._next_permit_now, 2):
                if permit is PERMIT:
                    return True
                self._put_permit(permit)
                ring(self._ring_sender)
        except Empty:
            pass
        return False
