"""One thing to be done on disk, and the answer that its caller waits for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from time import monotonic
from typing import Generic, Literal, TypeAlias, TypeVar, cast

from dispatch._flag import Flag
from dispatch._turn import Turn
from dispatch._units import show_duration
from dispatch.errors import DispatchError
from dispatch.spool._trouble import Trouble

T = TypeVar("T")

Stage: TypeAlias = Literal["waiting", "begun", "answered"]


class Receipt(Generic[T]):
    """The writer begins and answers, the caller waits.

        waiting ──begin──▶ begun ──settle──▶ answered
           └──────────withdraw─────────────────▲

    Invariants, kept by `_turn`: what was withdrawn is not begun; the first answer stays.
    """

    __slots__ = ("_answer", "_done", "_patience", "_stage", "_then", "_until", "weight", "work", "writes")

    under_way = True

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], T | Trouble],
        *,
        patience: float,
        writes: bool = True,
        weight: int = 0,
        then: Callable[[], object] | None = None,
    ) -> None:
        """`work` is done by the writer, inside a transaction; `then` is called when that is on disk.

        `patience`: seconds. `weight`: bytes to be written.
        """
        self.work = work
        self._then = then
        self.writes = writes
        self.weight = weight
        self._patience = patience
        self._until = monotonic() + patience
        self._stage: Stage = "waiting"
        self._answer: T | Trouble | None = None
        self._done = Flag()

    # ---- the writer

    def begin(self) -> bool:
        """True when it may be done now; False when its caller has gone."""
        with _turn.lock:
            if self._stage == "answered":
                return False
            self._stage = "begun"
            return True

    def settle(self, answer: T | Trouble) -> None:
        """Answer the caller. Too late is no matter: what it was told then was true."""
        with _turn.lock:
            if self._stage != "answered":
                self._answer = answer
                self._stage = "answered"
        self._done.hoist()
        if self._then is not None and not isinstance(answer, Trouble):
            self._then()

    # ---- the caller

    def wait(self) -> None:
        """Block until there is an answer or patience is at its end. After it, `trouble` and `value` tell."""
        self._done.wait(self._until - monotonic())
        self._conclude()

    async def wait_async(self) -> None:
        """The same, leaving the event loop free."""
        await self._done.wait_async(self._until - monotonic())
        self._conclude()

    def withdraw(self) -> bool:
        """The caller is gone. True when it is certain that nothing was done, or will be."""
        with _turn.lock:
            if self._stage == "waiting":
                self._stage = "answered"
                self._answer = Trouble("refused", "its caller stopped waiting before it was written")
                self.work = _nothing
            answer = self._answer
        return isinstance(answer, Trouble) and answer.verdict != "unknown"

    @property
    def trouble(self) -> Trouble | None:
        """Why it was not done; `None`: it was. For whoever has waited."""
        return self._answer if isinstance(self._answer, Trouble) else None

    @property
    def value(self) -> T:
        """What came of it. For whoever has waited; raises `DispatchError` when there was trouble."""
        if isinstance(self._answer, Trouble):
            raise DispatchError(f"the spool: {self._answer.detail}")
        assert self._stage == "answered", "nobody waited for it"  # noqa: S101 - our own misuse, nobody else's
        return cast("T", self._answer)

    # ---- within

    def _conclude(self) -> None:
        """Patience is at its end: an answer is made where there is none."""
        with _turn.lock:
            if self._stage != "answered":
                self._answer = self._no_answer()
                self._stage = "answered"

    def _no_answer(self) -> Trouble:
        within = show_duration(self._patience * 1e9)
        if self._stage == "waiting":
            self.work = _nothing
            return Trouble("refused", f"the spool's file was not free within {within}")
        return Trouble("unknown", f"the disk did not answer within {within}")


def _nothing(_: sqlite3.Connection) -> Trouble:
    """In the place of work that was withdrawn, which may hold megabytes while a disk hangs."""
    raise AssertionError("it was withdrawn")


_turn = Turn()
