"""The buffered channel: a receiver takes an item, then sends its permit home."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty
from typing import TypeVar

from dispatch.channel._bells import UNHEARD
from dispatch.channel._channel import ENDED, Channel
from dispatch.channel._marks import END, PERMIT
from dispatch.channel._taking import endlessly
from dispatch.errors import EndOfChannel, WouldWait

T = TypeVar("T")


class Buffered(Channel[T], buffered=True):
    """Up to `capacity` items wait."""

    __slots__ = ("_permit_home",)

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._permit_home = endlessly(self._permits.put, PERMIT)

    def receive(self, timeout: float | None = None) -> T:  # noqa: C901 - what a call would hide from `finally` stands here
        try:
            for item in self._next_item if timeout is None else self._next_item_within(timeout):
                if item is not END:
                    for _ in self._permit_home:
                        if self._permit_bells:
                            try:
                                for _ in self._ring_sender:
                                    break
                            except UNHEARD:  # somebody else rang
                                pass
                        return item
                try:
                    self._put_item(END)
                finally:  # here, not in a function: a handler may run where one starts
                    try:
                        for _ in self._ring_receiver:
                            break
                    except UNHEARD:
                        pass
                if self._drained():
                    raise EndOfChannel(ENDED)
        except Empty:
            pass
        raise TimeoutError(f"nothing came within {timeout} s")

    def receive_nowait(self) -> T:
        try:
            return self.receive(0)
        except TimeoutError:
            pass
        raise WouldWait(f"{self!r} has no item just now")

    def __iter__(self) -> Iterator[T]:
        for item in self._next_item:
            if item is not END:
                for _ in self._permit_home:
                    break
                if self._permit_bells:
                    try:
                        for _ in self._ring_sender:
                            break
                    except UNHEARD:
                        pass
                yield item
            else:
                try:
                    self._put_item(END)
                finally:  # here, not in a function: a handler may run where one starts
                    try:
                        for _ in self._ring_receiver:
                            break
                    except UNHEARD:
                        pass
                if self._drained():
                    return

    def _drained(self) -> bool:
        """Whether every permit is home, the END mark on top. If not, let the thread run that holds one."""
        if self._permits.qsize() > self._capacity:
            return True
        time.sleep(0)
        return False
