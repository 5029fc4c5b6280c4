"""A select waits: in a thread, or in a coroutine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from threading import TIMEOUT_MAX
from typing import Any, TypeVar

from dispatch.channel import _loops
from dispatch.channel._selection import Case, Selected, Selection
from dispatch.errors import WouldWait

T = TypeVar("T")


def choose(cases: Sequence[Case[T] | None], timeout: float | None) -> Selected[T]:
    """The case that goes ahead, waiting for one. Raises `TimeoutError`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    selection = Selection(cases)
    try:
        while True:
            try:
                return selection.look()
            except WouldWait:
                pass
            time_left = _time_left(deadline, timeout)
            bell = threading.Lock()
            bell.acquire()
            selection.hang(bell)
            if not selection.ready():
                bell.acquire(timeout=-1 if time_left is None else min(time_left, TIMEOUT_MAX))
            selection.take_down()
            settled = selection.settle()
            if settled is not None:
                return settled
    except BaseException:
        selection.abandon()
        raise


async def choose_async(cases: Sequence[Case[T] | None], timeout: float | None) -> Selected[T]:  # noqa: ASYNC109
    """`choose`, leaving the event loop free; who is cancelled has neither sent nor received."""
    deadline = None if timeout is None else time.monotonic() + timeout
    selection = Selection(cases)
    try:
        while True:
            try:
                return selection.look()
            except WouldWait:
                pass
            time_left = _time_left(deadline, timeout)
            bell = _loops.bell()
            selection.hang(bell)
            if not selection.ready():
                await _ring(bell, time_left)
            selection.take_down()
            settled = selection.settle()
            if settled is not None:
                return settled
    except BaseException:
        selection.abandon()
        raise


async def _ring(bell: _loops.LoopBell, time_left: float | None) -> None:
    """Until the bell is rung or the time is up."""
    if time_left is None:
        await bell.rung
        return
    alarm = asyncio.get_running_loop().call_later(time_left, bell.wake)
    try:
        await bell.rung
    finally:
        alarm.cancel()


def _time_left(deadline: float | None, timeout: Any) -> float | None:
    if deadline is None:
        return None
    time_left = deadline - time.monotonic()
    if time_left <= 0:
        raise TimeoutError(f"nothing happened within {timeout} s")
    return time_left
