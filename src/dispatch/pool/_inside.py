"""An item that runs inside whatever its thread is doing already, instead of in a worker of its own."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, _get_running_loop
from types import TracebackType
from typing import Any, NamedTuple, Self


class Inner(NamedTuple):
    """It, and the event loop that was running in its thread then and waits for its end."""

    item: Any
    loop: AbstractEventLoop | None


class _Here(threading.local):
    inner: Inner | None = None


_here = _Here()


class Inside:
    """For the length of the block `item` runs in this thread, inside of what ran here before."""

    __slots__ = ("_before", "_mine")

    def __init__(self, item: Any) -> None:
        self._mine: Inner | None = Inner(item, _get_running_loop())
        self._before: Inner | None = None

    def __enter__(self) -> Self:
        self._before, _here.inner = _here.inner, self._mine
        self._mine = None  # a frame that knew its item would keep it alive
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _here.inner, self._before = self._before, None


def innermost() -> Inner | None:
    """The one that runs in this thread, inside all others."""
    return _here.inner
