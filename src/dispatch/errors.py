"""Everything that can go wrong.

DispatchError
├── PolicyError
├── NotConfigured
├── NotAccepted
│   ├── DestinationFull
│   ├── SpoolFull
│   └── NotSerializable
├── OutcomeUnknown
├── PartlySent
├── CallFailed
│   ├── CallExpired
│   ├── CallTimeout
│   ├── CallCancelled
│   ├── WorkerDied
│   ├── HandleLost
│   ├── DeadLettered
│   ├── ResultNotSerializable
│   └── PayloadMissing
├── WouldBlock
└── ChannelError
    ├── ChannelClosed
    ├── EndOfChannel
    └── WouldWait

A wait that takes longer than its `timeout` raises Python's own `TimeoutError`.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Sequence


class DispatchError(Exception):
    """The root: `except DispatchError` catches all that dispatch itself raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a policy: where it stands, what it says, and how to mend it."""

    file: str
    line: int
    """Counted from 1, as editors do."""
    column: int
    """Counted from 1."""
    code: str
    """A short, stable name such as `unknown-key`."""
    text: str
    """The offending text, as it stands in the file."""
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {self.message}\n    {self.text}\n    {self.cure}"


class PolicyError(DispatchError):
    """A policy cannot be used. `problems` lists every mistake found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} mistakes" if len(self.problems) != 1 else "1 mistake"
        super().__init__(f"{count} in the policy:\n" + "\n".join(str(problem) for problem in self.problems))


class NotConfigured(DispatchError):
    """Something that the call needs was never set up. The message names the setting."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A destination that did not get the call, and why."""

    destination: str
    why: str
    """One of the words of `dispatch.Why`: `not_durable`, `cannot_carry`, `full` and so on."""
    detail: str = ""
    """The fact behind it, and the cure, in a sentence."""
    argument: str | None = None
    """The argument that could not be encoded, when that was the reason."""

    def __str__(self) -> str:
        return f"{self.destination}: {self.why}" + (f" ({self.detail})" if self.detail else "")


class NotAccepted(DispatchError):
    """No destination took the call; it will not run. `passed_over` says why, one by one."""

    def __init__(self, task: str, passed_over: Sequence[PassedOver]) -> None:
        self.task = task
        self.passed_over = tuple(passed_over)
        reasons = "".join(f"\n    {passed}" for passed in self.passed_over) or " there was no candidate"
        super().__init__(f"no destination took a call of {task}:{reasons}")


class DestinationFull(NotAccepted):
    """Every destination that may take the call is full, and its `on_full` does not say to wait longer."""


class SpoolFull(NotAccepted):
    """The spool, or the disk under it, has no room for the call; nothing of it was kept."""


class NotSerializable(NotAccepted):
    """The arguments cannot travel, as JSON or by pickle, and no candidate takes them by reference. Nothing was sent."""


def refusal(task: str, passed: Sequence[PassedOver], spools: Container[str] = ()) -> DispatchError:
    """The error that says best why nobody took a call of `task`. `spools`: the names of those that are one."""
    # What was never set up is not among those that could have taken it.
    there = [each for each in passed if each.why != "not_configured"]
    if passed and not there:
        return NotConfigured(f"{task} has nowhere to go: " + "; ".join(each.detail for each in passed))
    if there and all(each.argument is not None for each in there):
        return NotSerializable(task, passed)
    if any(each.why == "full" and each.destination in spools for each in passed):
        return SpoolFull(task, passed)  # the last resort was there, and had no room: that is to be mended
    if {each.why for each in there} == {"full"}:
        return DestinationFull(task, passed)
    return NotAccepted(task, passed)


class OutcomeUnknown(DispatchError):
    """The broker did not answer in time: the call may run or may not.

    `handle` stays good: when the call does run, its result arrives there. Send again only what may run twice.
    """

    def __init__(self, message: str, handle: Any) -> None:
        self.handle = handle
        super().__init__(message)


class PartlySent(DispatchError):
    """A `map` stopped in the middle; `__cause__` says why. What became of each item that was drawn:

    `sent` is the group of the calls that are on their way, `unsent` has the items of those that are not, and
    `in_doubt` the handles of those that may be: see `OutcomeUnknown`. All are in the order of the items.
    """

    def __init__(
        self,
        task: str,
        position: int,
        sent: Any,
        why: BaseException,
        *,
        unsent: Sequence[Any] = (),
        in_doubt: Sequence[Any] = (),
    ) -> None:
        self.sent = sent
        self.unsent = list(unsent)
        self.in_doubt = list(in_doubt)
        super().__init__(
            f"map of {task} stopped at item {position}, counted from 0: {type(why).__name__}: {why}. "
            f"{len(sent)} calls were sent and go on, and `sent` is their group; `unsent` has {len(self.unsent)} items "
            f"that were drawn and not sent, `in_doubt` {len(self.in_doubt)} handles of calls that may have been."
        )


class CallFailed(DispatchError):
    """The call failed, and the task's own exception cannot be rebuilt here; the message is what is known."""


class CallExpired(CallFailed):
    """The call was still waiting when its `expires` had passed; it did not run."""


class CallTimeout(CallFailed):
    """The call ran longer than its `timeout`. On a thread it may still be running: a thread cannot be stopped."""


class CallCancelled(CallFailed, CancelledError):
    """The call was cancelled before it started; it did not run. Also a `concurrent.futures.CancelledError`."""


class WorkerDied(CallFailed):
    """The process that ran the call died before it could answer."""


class HandleLost(CallFailed):
    """This handle belongs to the parent of a fork; only the parent can know its outcome."""


class DeadLettered(CallFailed):
    """The call was delivered again and again and never came to its end. It is kept: see `dispatch dead`."""


class ResultNotSerializable(CallFailed):
    """The task ran and its result cannot travel, as JSON or by pickle. The call is done and is not run again."""


class PayloadMissing(CallFailed):
    """The arguments were kept in a store, and are not there any more, or not as they were. The call did not run."""


class WouldBlock(DispatchError):
    """Waiting here would stop the running event loop. Use `await handle`, or `adelay`."""


class ChannelError(DispatchError):
    """The root of what a channel raises."""


class ChannelClosed(ChannelError):
    """The channel is closed: nothing can be sent any more. The item was not taken."""


class EndOfChannel(ChannelError):
    """The channel is closed and everything that was sent has been received."""


class WouldWait(ChannelError):
    """The `_nowait` form had no counterpart ready: no room to send, or no item to receive."""
