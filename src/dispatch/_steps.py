"""The steps of a call that has to wait on its way, walked by a thread or by a coroutine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

from dispatch._handle import Handle
from dispatch.transports import Pending

Steps: TypeAlias = Generator[Pending, None, Handle[Any]]
"""Yields what has to be waited for; returns the handle, or raises what `delay` raises."""


def block_for(steps: Steps) -> Handle[Any]:
    """Walk the steps, blocking this thread where they wait."""
    try:
        pending = next(steps)
        while True:
            try:
                pending.wait()
            except BaseException as error:  # noqa: BLE001 - the step decides what becomes of the call
                pending = steps.throw(error)
            else:
                pending = next(steps)
    except StopIteration as end:
        handle: Handle[Any] = end.value
        return handle


async def leave_free_for(steps: Steps) -> Handle[Any]:
    """Walk the steps, leaving the event loop free where they wait."""
    try:
        pending = next(steps)
        while True:
            try:
                await pending.wait_async()
            except BaseException as error:  # noqa: BLE001 - a cancelled coroutine withdraws its call
                pending = steps.throw(error)
            else:
                pending = next(steps)
    except StopIteration as end:
        handle: Handle[Any] = end.value
        return handle
