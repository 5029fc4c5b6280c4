"""What a span says of a local call: taken down when it starts, and put into words when somebody reads it.

That may be on another thread, or never: a span that is dropped, or has nobody to export it, costs no words.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._decision import Decision
from dispatch._ids import IdSpace
from dispatch._registry import TaskSpec
from dispatch.telemetry import _names as n
from dispatch.telemetry._attributes import Attributes, of_decision, of_overhead, of_payload, of_task
from dispatch.telemetry._overhead import Overhead

Part: TypeAlias = Literal["hand_over", "run", "both"]


class Account(msgspec.Struct, gc=False):
    """Times are `ticks`, lengths nanoseconds."""

    part: Part
    """What it is about: `both` is for a span that stands alone, and leaves out what can be had at greater detail."""
    standing: Attributes
    space: IdSpace
    number: int
    told_id: str | None
    payload: int | None
    entered: int
    decided: int
    serialized: int
    sent: int
    wait: int
    attempt: int
    process: int | None
    start: int | None = None
    """From when a worker took it to the first line."""
    is_told: bool = False
    """Whether it has been read, so that what comes now comes too late."""

    def __call__(self) -> Attributes:
        """In words."""
        self.is_told = True
        attributes = self.standing.copy()
        attributes[n.CALL] = self.told_id or self.space.text(self.number)
        if self.part != "run":
            attributes |= of_payload(self.payload)
            paid = Overhead.of(self, self.sent)
            attributes |= of_overhead(paid) if self.part == "hand_over" else {n.OVERHEAD: paid.total / 1e3}
        if self.part != "hand_over":
            attributes[n.WAIT] = self.wait / 1e3
            if self.start is not None:
                attributes[n.START] = self.start / 1e3
            if self.attempt > 1:
                attributes[n.ATTEMPT] = self.attempt
            if self.process is not None:
                attributes[n.PROCESS] = self.process
        return attributes


def of_hand_over(call: Call) -> Account:
    """Of a call that has reached its destination."""
    return _account("hand_over", call, None)


def of_run(call: Call, process: int | None) -> Account:
    """Of an attempt that is about to begin, in the worker process `process` if not here."""
    return _account("run", call, process)


def of_both(call: Call, process: int | None) -> Account:
    return _account("both", call, process)


def _account(part: Part, call: Call, process: int | None) -> Account:
    taken = call.taken or ticks()
    # The caller stamps `sent` after the hand-over; a quick worker is here before it does.
    sent = call.sent or taken
    options, payload = call.options, call.payload
    return Account(
        part,
        _standing(part, call.spec, call.decision),
        call.space,
        call.number,
        None if options is None else options.task_id,
        call.decision.payload_bytes if payload is None else payload,
        call.entered,
        call.decided,
        call.serialized,
        sent,
        max(0, taken - max(sent, call.due)),
        call.attempt,
        process,
    )


class _Standing(NamedTuple):
    """What all calls have in common that are of one task and got one decision."""

    attributes: Attributes
    about: tuple[TaskSpec, Decision]
    """Held, so that nothing else gets their identity meanwhile."""


_MOST = 1024
_known: dict[tuple[Part, int, int], _Standing] = {}


def _standing(part: Part, spec: TaskSpec, decision: Decision) -> Attributes:
    key = part, id(spec), id(decision)  # by identity: comparing decisions would cost more than all of this saves
    known = _known.get(key)
    if known is not None:
        return known.attributes
    attributes = _in_words(part, spec, decision)
    # A decision with facts of its moment is the decision of one call.
    if decision.predicted_start_ns is None and not decision.passed_over:
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = _Standing(attributes, (spec, decision))
    return attributes


def _in_words(part: Part, spec: TaskSpec, decision: Decision) -> Attributes:
    where = of_decision(decision)
    if part == "run":
        return {n.TASK: spec.name, **{each: where[each] for each in (n.DESTINATION, n.TRANSPORT, n.RULE, n.REASON)}}
    attributes = {**of_task(spec, decision), **where}
    if part == "both":
        if decision.reason != "pinned":
            del attributes[n.REASON]
        if decision.durability == "ephemeral":
            del attributes[n.DURABILITY]
    return attributes
