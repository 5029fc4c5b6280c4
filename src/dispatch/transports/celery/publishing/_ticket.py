"""A message that was handed to the publisher, and the answer its caller waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Literal, Protocol, TypeAlias

from dispatch._clock import ticks
from dispatch._flag import Flag
from dispatch._turn import Turn
from dispatch._units import show_duration
from dispatch.transports.celery.publishing._answer import Answer, refused
from dispatch.transports.celery.publishing._message import Message

Stage: TypeAlias = Literal["waiting", "taken", "answered"]

_STARTING = 60.0
"""Importing the transport is work of this process, not of the broker: seconds, and only on a very busy machine."""


class Start(Protocol):
    """The moments of a publisher's start that a caller's patience is counted from."""

    imported: Flag
    warm: Flag


class Ticket:
    """One message's way through the publisher. The publisher's thread takes and answers, the caller waits.

        waiting ──take──▶ taken ──answer──▶ answered
           └─────────withdraw────────────────▲

    Invariants, kept by `_turn`: a message is taken or withdrawn, never both; the first answer stays.
    """

    __slots__ = (
        "_afterwards",
        "_answer",
        "_last_word",
        "_patience",
        "_settled",
        "_stage",
        "_start",
        "_until",
        "answered_at",
        "message",
    )

    under_way = True

    def __init__(self, message: Message, start: Start, patience: float) -> None:
        """`patience`: seconds that the caller waits at most, from now on or once the publisher is warm."""
        self.message = message
        self.answered_at = 0
        """In `ticks`, by the publisher; whoever has sent many may look much later."""
        self._start = start
        self._patience = patience
        self._until = monotonic() + patience if start.warm.up else None
        self._stage: Stage = "waiting"
        self._answer: Answer | None = None
        self._last_word: Answer | None = None
        self._afterwards: Callable[[Answer], object] | None = None
        self._settled = Flag()

    # ---- the publisher's thread

    def take(self) -> bool:
        """True when the message may be sent now; False when its caller has withdrawn it."""
        with _turn.lock:
            if self._stage != "waiting":
                return False
            self._stage = "taken"
            return True

    def settle(self, answer: Answer) -> None:
        """Answer the caller. Too late is no matter: what it was told then was true."""
        with _turn.lock:
            if self._answer is None:
                self._answer = answer
            self._last_word = answer
            self.answered_at = ticks()
            self._stage = "answered"
            afterwards, self._afterwards = self._afterwards, None
        self._settled.hoist()
        if afterwards is not None:
            afterwards(answer)

    # ---- the caller

    def wait(self) -> None:
        """Block until there is an answer or patience is at its end. After it, `answer` is there."""
        for flag, timeout in self._steps():
            flag.wait(timeout)
        self.conclude()

    async def wait_async(self) -> None:
        """The same, leaving the event loop free."""
        for flag, timeout in self._steps():
            await flag.wait_async(timeout)
        self.conclude()

    def withdraw(self) -> bool:
        """The caller is gone. True when it is certain that nothing was sent, or will be."""
        with _turn.lock:
            if self._stage == "waiting":
                self._stage = "answered"
                self._answer = refused("its caller stopped waiting before it was sent")
            answer = self._answer
        return answer is not None and answer.verdict not in ("accepted", "unknown")

    def conclude(self) -> None:
        """Patience is at its end: the answer is looked at once more, and is made where there is none."""
        with _turn.lock:
            if self._answer is None:
                self._answer = self._no_answer()
                self._stage = "answered"

    def afterwards(self, then: Callable[[Answer], object]) -> None:
        """Call `then` with the publisher's own answer, now or when it comes; the caller may be gone by then.

        From the publisher's thread, so it must not wait.
        """
        with _turn.lock:
            answer = self._last_word
            if answer is None:
                self._afterwards = then
        if answer is not None:
            then(answer)

    @property
    def cold(self) -> bool:
        """Whether it had to wait for the publisher's own start too."""
        return self._until is None

    @property
    def answer(self) -> Answer:
        """What became of the message; for whoever has waited."""
        assert self._answer is not None, "nobody waited for it"  # noqa: S101 - our own misuse, nobody else's
        return self._answer

    # ---- within

    def _steps(self) -> Iterator[tuple[Flag, float]]:
        """What to wait for, one after the other, and how long."""
        if self._settled.up:
            return  # by a publisher that will never start, for example
        until = self._until
        if until is None:
            yield self._start.imported, _STARTING
            yield self._start.warm, self._patience
            until = monotonic() + self._patience if self._start.warm.wait(0) else 0.0
        yield self._settled, until - monotonic()

    def _no_answer(self) -> Answer:
        within = show_duration(self._patience * 1e9)
        if self._stage == "waiting":
            return refused(f"the broker did not take it within the publish deadline of {within}")
        return Answer("unknown", f"it was sent, and no answer came within {within}")


_turn = Turn()
