"""Handles in the order in which their calls end, for threads and for coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from time import monotonic
from typing import Any, Generic, TypeVar

from dispatch._endings import Endings
from dispatch._handle import Handle
from dispatch._progress import Progress, shown

R = TypeVar("R", covariant=True)  # noqa: PLC0105 - see `_handle`
S = TypeVar("S")


class Completed(Generic[R]):
    """Handles as their calls end: `for handle in …` in a thread, `async for handle in …` in a coroutine."""

    __slots__ = ("_handles", "_progress", "_timeout")

    def __init__(self, handles: Sequence[Handle[R]], timeout: float | None, progress: Progress | None = None) -> None:
        self._handles = handles
        self._timeout = timeout
        self._progress = progress

    def __iter__(self) -> Iterator[Handle[R]]:
        return _walk(self._handles, self._timeout, self._progress)

    def __aiter__(self) -> AsyncIterator[Handle[R]]:
        return _awalk(self._handles, self._timeout, self._progress)


def as_completed(handles: Iterable[Handle[S]], timeout: float | None = None) -> Completed[S]:
    """The handles as their calls end, for `for` and for `async for`; each one is done when it comes.

    Raises `TimeoutError` when they have not all ended within `timeout` seconds of the first step, and `WouldBlock`
    where a plain `for` would stop a running event loop. Leaving the loop early leaves the calls alone. Handles that
    came are not kept, so that a generator of them, read once, needs no more memory than what is still open.
    """
    return Completed(flat([handles]), timeout)


def flat(given: Iterable[Any]) -> list[Handle[Any]]:
    """The handles in `given`, one level of iterables deep. Raises `TypeError` for anything else."""
    found: list[Handle[Any]] = []
    for each in given:
        if isinstance(each, Handle):
            found.append(each)
            continue
        if not isinstance(each, Iterable):
            raise TypeError(f"{each!r} is neither a handle nor an iterable of handles; `delay` and `map` make those")
        for handle in each:
            if not isinstance(handle, Handle):
                raise TypeError(f"{handle!r} is no handle; `delay` and `map` make those")
            found.append(handle)
    return found


def _walk(handles: Sequence[Handle[S]], timeout: float | None, progress: Progress | None) -> Iterator[Handle[S]]:
    end = None if timeout is None else monotonic() + timeout
    endings = Endings(handles, all_of_them=False)
    with endings, shown(progress, handles, endings):
        del handles  # what was yielded is the reader's alone
        while endings.left:
            endings.wait(None if end is None else max(0.0, end - monotonic()))
            yield endings.take()


async def _awalk(
    handles: Sequence[Handle[S]],
    timeout: float | None,  # noqa: ASYNC109 - as `_walk`
    progress: Progress | None,
) -> AsyncIterator[Handle[S]]:
    end = None if timeout is None else monotonic() + timeout
    endings = Endings(handles, all_of_them=False)
    with endings, shown(progress, handles, endings):
        del handles  # see `_walk`
        while endings.left:
            await endings.await_(None if end is None else max(0.0, end - monotonic()))
            yield endings.take()
