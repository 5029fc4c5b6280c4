"""Many calls at once: their results in order, or each as it ends, for threads and for coroutines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload

from dispatch._completed import Completed, flat
from dispatch._endings import Endings
from dispatch._handle import Handle, outcome_of
from dispatch._outcome import Failure, Success
from dispatch._progress import Progress, name_of, shown

R = TypeVar("R", covariant=True)  # noqa: PLC0105 - see `_handle`
S = TypeVar("S")

Errors: TypeAlias = Literal["first", "all", "return"]
"""What a failed call does to `results`: raise at once, raise when all have ended, or stand among the results."""


class Group(Generic[R]):
    """The handles of many calls, in order. Made by `map` and `gather`; iterating it gives the handles.

    `await group` is `await group.aresults()`. Safe from any thread.
    """

    __slots__ = ("_handles", "_progress")

    def __init__(self, handles: Sequence[Handle[R]], progress: Progress | None = None) -> None:
        self._handles = handles
        self._progress = progress

    # ---- waiting for them

    @overload
    def results(
        self, timeout: float | None = ..., *, errors: Literal["first", "all"] = ..., cancel: bool = ...
    ) -> list[R]: ...
    @overload
    def results(
        self, timeout: float | None = ..., *, errors: Literal["return"], cancel: bool = ...
    ) -> list[R | BaseException]: ...
    def results(
        self, timeout: float | None = None, *, errors: Errors = "first", cancel: bool = False
    ) -> list[R] | list[R | BaseException]:
        """What the calls returned, in the order in which they were sent.

        `errors="first"`   raises the first error as soon as it is known; the other calls go on.
        `errors="all"`     waits for every call, then raises all errors in one `ExceptionGroup`.
        `errors="return"`  waits for every call; the errors stand among the results.

        With `cancel=True`, whatever makes this raise also cancels the calls that have not started. Raises
        `TimeoutError` after `timeout` seconds, and `WouldBlock` in a running event loop: await the group there.
        """
        try:
            with self._endings(errors) as endings, self._shown(endings):
                endings.wait(timeout)
            return _read(self._handles, endings.failed, errors)
        except BaseException:
            if cancel:
                self.cancel()
            raise
        finally:
            # An error's traceback leads to this frame; one that still knew the handles would close a circle.
            del self
            endings = None  # type: ignore[assignment]

    @overload
    async def aresults(
        self,
        timeout: float | None = ...,  # noqa: ASYNC109 - as `results`
        *,
        errors: Literal["first", "all"] = ...,
        cancel: bool = ...,
    ) -> list[R]: ...
    @overload
    async def aresults(
        self,
        timeout: float | None = ...,  # noqa: ASYNC109 - as `results`
        *,
        errors: Literal["return"],
        cancel: bool = ...,
    ) -> list[R | BaseException]: ...
    async def aresults(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as `results`
        *,
        errors: Errors = "first",
        cancel: bool = False,
    ) -> list[R] | list[R | BaseException]:
        """`results` that leaves the event loop free. Cancelling the wait leaves the calls alone, save by `cancel`."""
        try:
            with self._endings(errors) as endings, self._shown(endings):
                await endings.await_(timeout)
            return _read(self._handles, endings.failed, errors)
        except BaseException:
            if cancel:
                self.cancel()
            raise
        finally:
            del self  # see `results`
            endings = None  # type: ignore[assignment]

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self.aresults().__await__()

    def as_completed(self, timeout: float | None = None) -> Completed[R]:
        """The handles as their calls end, for `for` and for `async for`; see `dispatch.as_completed`."""
        return Completed(self._handles, timeout, self._progress)

    def progress(self, label: str | None = None, *, show: bool | None = None) -> Group[R]:
        """The same group with a bar on stderr while it is waited for: `batch.progress().results()`.

        `label` is by default the task's name. Without `show`, only a terminal gets a bar.
        """
        return Group(self._handles, Progress(label, show))

    # ---- looking at them

    def decisions(self) -> Counter[tuple[str, str]]:
        """How many calls went to which destination by which rule."""
        return Counter((each.destination, each.rule) for each in (handle.decision for handle in self._handles))

    def __iter__(self) -> Iterator[Handle[R]]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def __getitem__(self, position: int) -> Handle[R]:
        return self._handles[position]

    def __repr__(self) -> str:
        went = ", ".join(f"{count} {place} by {rule}" for (place, rule), count in self.decisions().most_common())
        left = sum(outcome_of(handle) is None for handle in self._handles)
        return f"<Group {name_of(self._handles)} | {went or 'no calls'} | {left} unfinished>"

    # ---- acting on them

    def cancel(self) -> int:
        """Keep from running what has not started. How many will certainly not run because of this."""
        return sum(outcome_of(handle) is None and handle.cancel() for handle in self._handles)

    # ---- within

    def _endings(self, errors: Errors) -> Endings[R]:
        if errors not in ("first", "all", "return"):
            raise ValueError(f"errors={errors!r} is not known: it takes 'first', 'all' or 'return'")
        return Endings(self._handles, all_of_them=True, failure_is_enough=errors == "first")

    def _shown(self, endings: Endings[Any]) -> AbstractContextManager[None]:
        return shown(self._progress, self._handles, endings)


@overload
def gather(*handles: Handle[S] | Iterable[Handle[S]]) -> Group[S]: ...
@overload
def gather(*handles: Handle[Any] | Iterable[Handle[Any]]) -> Group[Any]: ...
def gather(*handles: Handle[Any] | Iterable[Handle[Any]]) -> Group[Any]:
    """One group of many handles: `dispatch.gather(a, b).results()`, `await dispatch.gather(a, b)`.

    Takes handles, groups, and any other iterables of handles, local and Celery's alike. How errors are met is said
    where they are read: see `Group.results`.
    """
    return Group(flat(handles))


def _read(handles: Sequence[Handle[S]], failed: Handle[S] | None, errors: Errors) -> list[Any]:
    """The results of calls that have ended."""
    try:
        if failed is not None:
            failed.result()
        if errors == "all":
            found = [_error(handle) for handle in handles if isinstance(outcome_of(handle), Failure)]
            if found:
                raise BaseExceptionGroup(f"{len(found)} of {len(handles)} calls of {name_of(handles)} failed", found)
        outcomes = map(outcome_of, handles)
        return [
            each.value if isinstance(each, Success) else _error(handle)
            for handle, each in zip(handles, outcomes, strict=True)
        ]
    finally:
        del handles, failed  # see `Group.results`


def _error(handle: Handle[Any]) -> BaseException:
    """The error as the task raised it, now read."""
    outcome = outcome_of(handle)
    error = handle.exception()
    if not isinstance(outcome, Failure) or error is None:
        raise AssertionError(f"{handle!r} has not failed")
    return error.with_traceback(outcome.traceback)
