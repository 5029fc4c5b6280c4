"""Waiting for many calls at once: one callback each, one wake-up for whoever waits.

A call that ends lands here, in the thread that ends it, and wakes the waiter only when enough have landed. No thread
is kept for it, and nobody looks twice. It works without a lock, since landing may happen anywhere, even in a signal
handler that interrupts the waiter:

- a call lands exactly once: its failure is noted first, then its ending;
- whoever waits puts up his bell first and looks at what has landed second; whoever lands puts down the ending first
  and looks for a bell second: so one of the two sees the other;
- a bell is taken down before it is rung, so it rings at most once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, Self, TypeVar

from dispatch._attention import stand_aside, stand_in
from dispatch._handle import Handle, attention, call_of, outcome_of
from dispatch._outcome import Failure
from dispatch._waiting import block, in_event_loop, leave_free
from dispatch.errors import WouldBlock
from dispatch.pool import is_worker, slot

R = TypeVar("R")


class Endings(Generic[R]):
    """The endings of `handles`, for one thread or one coroutine. Use it as a context: it forgets them at its end."""

    def __init__(self, handles: Sequence[Handle[R]], *, all_of_them: bool, failure_is_enough: bool = False) -> None:
        """`all_of_them`: enough is when every one has ended; else when any has that was not taken yet."""
        self.total = len(handles)
        self._given: Sequence[Handle[R]] = handles
        self._wanted = self.total if all_of_them else 1
        self._failure_is_enough = failure_is_enough
        self._early: deque[Handle[R]] = deque()
        self._open: dict[int, tuple[Handle[R], Callable[[], object]]] = {}
        self._landed: deque[int] = deque()
        self._failed: deque[Handle[R]] = deque()
        self._bells: deque[Callable[[], object]] = deque()
        self._taken = 0
        self._behind: deque[int] | None = None

    def __enter__(self) -> Self:
        land = self._land
        try:
            for position, handle in enumerate(self._given):
                outcome = outcome_of(handle)
                if outcome is None:
                    call, wake = attention(handle), partial(land, position)
                    self._open[position] = (handle, wake)  # before: it may land at once
                    if not call.tell(wake):
                        land(position)
                else:
                    if self._failure_is_enough and type(outcome) is Failure:
                        self._failed.append(handle)
                    self._early.append(handle)
                if self._failed:
                    break
        except BaseException:
            self._leave()
            raise
        self._given = ()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    @property
    def left(self) -> int:
        """How many were not taken yet."""
        return self.total - self._taken

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self._taken + len(self._early) + len(self._landed)

    @property
    def failed(self) -> Handle[R] | None:
        """The first one that failed, where that is enough."""
        return self._failed[0] if self._failed else None

    def take(self) -> Handle[R]:
        """The next one that has ended, in the order in which they do. Keeps it no longer."""
        self._taken += 1
        return self._early.popleft() if self._early else self._open.pop(self._landed.popleft())[0]

    def wait(self, timeout: float | None) -> None:
        """Block until enough have ended. Raises `TimeoutError`, and `WouldBlock` in a running event loop."""
        if self._enough():
            return
        if in_event_loop():
            raise WouldBlock(
                f"{self._unfinished()} have not finished, and waiting for them here would stop the running event "
                "loop. Write `await group`, or `async for` over `as_completed`."
            )
        if timeout is None and is_worker():
            for handle in self._unhelped():
                stand_in(call_of(handle))
                if self._enough():
                    return
        block(self, timeout)
        self._refuse_less(timeout)

    async def await_(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as `wait`
        """`wait` that leaves the event loop free."""
        if not self._enough():
            if slot.get() is not None:
                for handle in self._unhelped():
                    stand_aside(call_of(handle))
            await leave_free(self, timeout)
            self._refuse_less(timeout)

    # ---- something that happens once (`Once`): enough have ended

    def tell(self, wake: Callable[[], object]) -> bool:
        self._bells.append(wake)
        if not self._enough():
            return True
        self._bells.clear()
        return False

    def forget(self, _wake: Callable[[], object]) -> bool:
        self._bells.clear()
        return True

    # ---- within

    def _land(self, position: int) -> None:
        """In the thread that ends the call: must not fail, and wait for nobody."""
        if self._failure_is_enough:
            known = self._open.get(position)  # not when the waiter has left meanwhile
            if known is not None and isinstance(outcome_of(known[0]), Failure):
                self._failed.append(known[0])
        self._landed.append(position)
        if self._bells and self._enough():
            try:
                wake = self._bells.pop()
            except IndexError:
                return  # somebody else has rung
            wake()

    def _unhelped(self) -> Iterator[Handle[R]]:
        """The handles that still wait, each once however often we wait: their pool may be waiting for us."""
        if self._behind is None:
            self._behind = deque(self._open)
        while self._behind:
            known = self._open.get(self._behind.popleft())
            if known is not None:
                yield known[0]

    def _enough(self) -> bool:
        return len(self._landed) + len(self._early) >= self._wanted or bool(self._failed)

    def _leave(self) -> None:
        left, self._open = self._open, {}  # each `wake` knows us: whoever kept them would close a circle
        for handle, wake in left.values():
            if outcome_of(handle) is None:
                attention(handle).forget(wake)

    def _refuse_less(self, timeout: float | None) -> None:
        if not self._enough():
            raise TimeoutError(f"{self._unfinished()} have not finished after {timeout} s")

    def _unfinished(self) -> str:
        return f"{self.total - self.ended} of {self.total} calls"
