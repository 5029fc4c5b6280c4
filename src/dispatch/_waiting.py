"""Waiting for something that happens once, in a thread or in a coroutine. One lock, or one future, while it lasts."""

from __future__ import annotations

import asyncio
import threading
from asyncio import Future, _get_running_loop
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Protocol


class Once(Protocol):
    """Something that happens once, in any thread."""

    def tell(self, wake: Callable[[], object]) -> bool:
        """Call `wake` once, when it happens, from the thread in which it does. False: it has happened already."""

    def forget(self, wake: Callable[[], object]) -> bool:
        """Take back `tell`. True when nobody waits any more."""


def block(for_what: Once, timeout: float | None) -> None:
    """Block this thread until it happens, at most `timeout` seconds."""
    bell = threading.Lock()
    bell.acquire()
    wake = bell.release
    if for_what.tell(wake):
        try:
            bell.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX))
        finally:
            for_what.forget(wake)


async def leave_free(for_what: Once, timeout: float | None) -> None:  # noqa: ASYNC109 - its end is no error
    """Wait until it happens, at most `timeout` seconds, leaving the event loop free; no thread is used for it."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed, and with it gone whoever waited
            loop.call_soon_threadsafe(_arrive, arrived)

    if for_what.tell(wake):
        try:
            async with asyncio.timeout(timeout):
                await arrived
        except TimeoutError:
            pass
        finally:
            for_what.forget(wake)


def arrival() -> tuple[Future[None], Callable[[], object]]:
    """A future of the running loop, and what makes it arrive, from any thread.

    The parts of `leave_free` for an `__await__` that is in a hurry: in the loop itself nobody is woken from afar,
    and each coroutine on the way would cost a twentieth of an awaited call.
    """
    arrived: Future[None] = Future()
    return arrived, partial(_wake, arrived, get_ident())


async def on_a_thread(work: Callable[[], None]) -> None:
    """Run `work` on a thread of its own: a loop's few belong to the application, and a wait may be long.

    Cancelled, it leaves the thread to its end. Raises `RuntimeError` where no thread can be had.
    """
    arrived, wake = arrival()

    def run() -> None:
        try:
            work()
        finally:
            wake()

    threading.Thread(target=run, name="dispatch-wait", daemon=True).start()
    await arrived


def in_event_loop() -> bool:
    """Whether an event loop runs in the calling thread, which must then not wait."""
    return _get_running_loop() is not None


def _wake(arrived: asyncio.Future[None], waiting: int) -> None:
    """`waiting`: the thread in which the loop of `arrived` runs. There, nobody has to be woken from afar."""
    try:  # `suppress` would be three calls more, see `arrival`
        if get_ident() != waiting:
            arrived.get_loop().call_soon_threadsafe(_arrive, arrived)
        elif not arrived.done():  # `_arrive`, written out
            arrived.set_result(None)
    except RuntimeError:  # the loop is closed, and with it gone whoever waited
        pass


def _arrive(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)
