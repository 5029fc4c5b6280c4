"""Which item is being run here: asked for by those few who want to know, so that those who run items say nothing."""

from __future__ import annotations

from asyncio import _get_running_loop
from typing import Any

from dispatch.pool._inside import innermost
from dispatch.pool._loans import slot
from dispatch.pool._worker import current_worker


def in_hand() -> Any | None:
    """The item whose code asks, of whichever pool; the inner one, where one runs inside another."""
    held, inner = slot.get(), innermost()
    # Its context, and the slot in it, an item may have from another coroutine, which sent it to where it is now.
    if held is not None and held.pool.is_mine() and (inner is None or inner.loop is not _get_running_loop()):
        return held.item
    if inner is not None:
        return inner.item
    worker = current_worker()
    if worker is not None:
        return worker.item
    # A thread that a coroutine has lent its context, as `asyncio.to_thread` does.
    return None if held is None else held.item
