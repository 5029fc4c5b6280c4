"""The steps of a hand-over, walked by a thread that blocks or by a coroutine that leaves its loop free."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from dispatch._handle import Handle
from dispatch.transports import Pending

T = TypeVar("T")

Steps: TypeAlias = Generator[Pending, None, Handle[Any]]
"""Those of one call, to its handle."""


def block(steps: Generator[Pending, None, T]) -> T:
    """Walk the steps, blocking this thread where they wait; what they return."""
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
        result: T = end.value
        return result


async def leave_free(steps: Generator[Pending, None, T]) -> T:
    """Walk the steps, leaving the event loop free where they wait; what they return."""
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
        result: T = end.value
        return result
