"""One invocation on its way: what to run, what was decided, when each thing happened, and how it ended.

The life of a call:

    waiting ◀──again─── running ──settle──▶ settled (done, failed)
       │ └─────claim──────▲
       └────settle────▶ settled (cancelled, expired, refused)

Invariants, kept by `_turn`:

- each attempt is claimed exactly once: whoever claims it may run it, and then settles the call or has it wait again;
- whoever settles a call first has the word;
- an outcome, once there, never changes;
- everybody in `_waiters` is woken exactly once, after the outcome is there.

`_turn` is one lock for all calls. It is held for a few attribute accesses and never while anybody else's code
runs, and it costs a twentieth of a microsecond; a lock per call would cost as much to make and more to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from dispatch._decision import Decision
from dispatch._ids import IdSpace, here
from dispatch._log import logger
from dispatch._outcome import Failure, Outcome
from dispatch._recorder import Finished, recorder
from dispatch._registry import TaskSpec
from dispatch._retry import Retry
from dispatch._turn import Turn

Stage: TypeAlias = Literal["waiting", "running", "settled", "unknown", "spooled"]


class Source(Protocol):
    """Where a call's outcome comes from when it does not run in this process."""

    def watch(self, call: Call) -> None:
        """Settle `call` when its outcome arrives; never waits. Raises `NotConfigured` without a store."""

    def unwatch(self, call: Call) -> None:
        """Nobody waits any more. Never fails."""

    def peek(self, call: Call) -> None:
        """Settle `call` now if its outcome is already there; one look, no waiting for it."""

    def revoke(self, call: Call) -> bool:
        """Try to keep the call from running. True only when it is certain that it will not."""


class Call(msgspec.Struct, eq=False, weakref=True):
    """One invocation. Times are `ticks` in nanoseconds, 0 while the moment has not come."""

    spec: TaskSpec
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: Context | None
    decision: Decision
    space: IdSpace
    number: int
    entered: int
    """`delay` was called."""
    decided: int = 0
    payload: int | None = None
    """The estimated size of the encoded arguments, when somebody asked for it."""
    options: CallOptions | None = None
    serialized: int = 0
    """The arguments were encoded; stays 0 where they travel by reference."""
    sent: int = 0
    """The destination has it: enqueued, or published and answered."""
    taken: int = 0
    """A worker has it."""
    started: int = 0
    """The task's first line."""
    ended: int = 0
    due: int = 0
    """Not before this moment, by its delay or by the pause before another attempt."""
    attempt: int = 1
    stage: Stage = "waiting"
    outcome: Outcome | None = None
    source: Source | None = None
    span: Any = None
    """The `dispatch` span, where it had to be real before the hand-over; opaque to everybody but telemetry."""
    complaint: Any = None
    """On a failed call: what complains when nobody ever reads the failure (`_unread`)."""
    trace: Any = None
    """The span of its last run where that was sampled; opaque as `span` is."""
    _waiters: tuple[Callable[[], object], ...] = ()

    @property
    def id(self) -> str:
        if self.options is not None and self.options.task_id is not None:
            return self.options.task_id
        return self.space.text(self.number)

    @property
    def expires_ns(self) -> int | None:
        """From `delay` on: the shorter of what the task and this call were told."""
        said = (self.spec.expires_ns, self.options.expires_ns if self.options is not None else None)
        return min((each for each in said if each is not None), default=None)

    @property
    def delay_ns(self) -> int | None:
        """From `delay` on, not before so long; 0 and `None`: at once."""
        return self.options.delay_ns if self.options is not None else None

    @property
    def start_ns(self) -> int | None:
        """From the decision, or from when it was due, to the first line of its first attempt; `None`: not known."""
        if not self.started or self.attempt > 1:
            return None
        return max(0, self.started - max(self.decided, self.entered + (self.delay_ns or 0)))

    @property
    def retry(self) -> Retry | None:
        """What this call was told, else its task."""
        said = self.options.retry if self.options is not None else None
        return said or self.spec.retry

    @property
    def foreign(self) -> bool:
        """Whether this call was made by the parent of a fork: nothing here will ever settle it."""
        return self.space is not here.space

    def claim(self) -> bool:
        """True for the one who may run it."""
        for _ in _turn.mine:
            break
        first = self.stage == "waiting"
        if first:
            self.stage = "running"
        _turn.over()
        return first

    def release(self, to: Stage = "waiting") -> None:
        """Give back the claim, for whoever has it: the call runs elsewhere. Who waits for it is told from there."""
        with _turn.lock:
            if self.outcome is not None:
                return
            self.stage = to
            waited_for = bool(self._waiters)
        if waited_for and self.source is not None:
            self.source.watch(self)

    def again(self, due: int) -> bool:
        """Have it wait for another attempt, until `due`; for whoever has claimed it. False when it has its outcome."""
        with _turn.lock:
            if self.outcome is not None:
                return False
            self.attempt += 1
            self.due = due
            self.started = self.ended = 0
            self.stage = "waiting"
            return True

    def keep(self, *, doubtful: bool) -> None:
        """It is on disk. `doubtful`: a broker may have it all the same."""
        with _turn.lock:
            if self.outcome is None:  # a quick worker may have settled it already
                self.stage = "unknown" if doubtful else "spooled"

    def settle(self, outcome: Outcome, *, unless_running: bool = False) -> bool:
        """Give the call its outcome and wake whoever waits for it. False when it had one, or runs already."""
        for _ in _turn.mine:
            break
        late = self.outcome is not None or (unless_running and self.stage == "running")
        if not late:
            self.outcome = outcome
            self.stage = "settled"
        waiters = self._waiters
        _turn.over()
        if late:
            return False
        if self.source is None:  # else it was recorded when it was handed over
            self.record(type(outcome.error) if type(outcome) is Failure else None)
        # What it carried may be large, and a kept handle must not keep it.
        self.args = ()
        self.kwargs = _NOTHING
        self.context = None
        if waiters:
            self._waiters = ()
            for wake in waiters:
                try:
                    wake()
                except BaseException:  # noqa: BLE001 - one who fails must not keep the others asleep
                    logger("call").exception("whoever waited for a call failed when woken", dispatch_call_id=self.id)
        return True

    def record(self, error: type[BaseException] | None) -> None:
        """Leave to the recorder what is known by now: it has ended, or has left for another process."""
        if recorder.note is not None:
            told_id = None if self.options is None else self.options.task_id
            recorder.note(
                Finished(
                    self.spec,
                    self.decision,
                    self.space,
                    self.number,
                    told_id,
                    self.payload,
                    self.entered,
                    self.decided,
                    self.serialized,
                    self.sent,
                    self.taken,
                    self.started,
                    self.ended,
                    self.due,
                    self.attempt,
                    error,
                    self.trace,
                )
            )

    def tell(self, wake: Callable[[], object]) -> bool:
        """Call `wake` once, when the call is settled, from the thread that settles it. False: it is settled already."""
        for _ in _turn.mine:
            break
        early = self.outcome is None
        if early:
            self._waiters += (wake,)
        _turn.over()
        return early

    def forget(self, wake: Callable[[], object]) -> bool:
        """Take back `tell`. True when nobody waits any more."""
        with _turn.lock:
            self._waiters = tuple(each for each in self._waiters if each is not wake)
            return not self._waiters


# A struct has a way of its own to set attributes, which CPython cannot shorten to a store at a known place. Ten are set
# on a call's way, and this is a twentieth of what it costs. The struct's own would also have the garbage collector see
# a struct that it has let out of its sight; a call has held its arguments and its task from the start.
Call.__setattr__ = object.__setattr__  # type: ignore[method-assign]
Call.__delattr__ = object.__delattr__  # type: ignore[method-assign]


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply_async` was told beyond the requirements. Names and meanings are Celery's."""

    task_id: str | None = None
    headers: dict[str, Any] | None = None
    ignore_result: bool | None = None
    expires_ns: int | None = None
    """From `delay` on."""
    delay_ns: int | None = None
    """Not before so long after `delay`: Celery's `countdown` and `eta`."""
    retry: Retry | None = None
    """Holds for this call instead of its task's."""
    celery: dict[str, Any] = {}
    """Options that only Celery knows (`queue`, `priority`, `link` …), handed on as they are."""


_NOTHING: dict[str, Any] = {}
_turn = Turn()
