"""What a call looks like on a span. Never its arguments."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from opentelemetry.util.types import AttributeValue

from dispatch._call import Call
from dispatch._decision import Decision
from dispatch._registry import TaskSpec
from dispatch.errors import PassedOver
from dispatch.policy import AtLeast
from dispatch.telemetry import _names as n

Attributes: TypeAlias = dict[str, AttributeValue]


def of_call(call: Call) -> Attributes:
    """What is true wherever the call goes."""
    return {**_of_task(call.spec, call.decision), n.CALL: call.id, **_of_payload(call)}


def of_hand_over(call: Call, sent: int) -> Attributes:
    """All that is to say of a call that one destination has, since the moment `sent`."""
    return {**_standing(call).hand_over, n.CALL: call.id, **_of_payload(call), **of_overhead(call, sent)}


def of_run(call: Call, wait: int, process: int | None) -> Attributes:
    """What there is to say of an attempt that begins now, `wait` nanoseconds after it could have."""
    attributes: Attributes = {**_standing(call).run, n.CALL: call.id, n.WAIT: max(0, wait) / 1e3}
    if call.attempt > 1:
        attributes[n.ATTEMPT] = call.attempt
    if process is not None:
        attributes[n.PROCESS] = process
    return attributes


class _Standing(NamedTuple):
    """What all calls have in common that are of one task and got one decision."""

    hand_over: Attributes
    run: Attributes
    about: tuple[TaskSpec, Decision]
    """Held, so that nothing else gets their identity meanwhile."""


_MOST = 512
_known: dict[tuple[int, int], _Standing] = {}


def _standing(call: Call) -> _Standing:
    spec, decision = call.spec, call.decision
    key = id(spec), id(decision)  # by identity: to compare two decisions costs more than all of this saves
    known = _known.get(key)
    if known is None:
        of_where = of_decision(decision)
        run = {n.TASK: spec.name, **{each: of_where[each] for each in (n.DESTINATION, n.TRANSPORT, n.RULE, n.REASON)}}
        known = _Standing({**_of_task(spec, decision), **of_where}, run, (spec, decision))
        # A decision with facts of its moment is the decision of one call.
        if decision.predicted_start_ns is None and not decision.passed_over:
            if len(_known) >= _MOST:
                _known.clear()
            _known[key] = known
    return known


def _of_task(spec: TaskSpec, decision: Decision | None) -> Attributes:
    attributes: Attributes = {n.TASK: spec.name}
    if spec.kind != "io":
        attributes[n.KIND] = spec.kind
    if spec.tags:
        attributes[n.TAGS] = tuple(sorted(spec.tags))
    # A call that nobody could take may be refused before there is a decision.
    if decision is not None:
        attributes[n.POLICY_VERSION] = decision.policy_version
        attributes[n.DURABILITY] = decision.durability
        if decision.latency_budget_ns is not None:
            attributes[n.LATENCY_BUDGET] = decision.latency_budget_ns / 1e3
        if decision.reason == "pinned":
            attributes[n.PIN] = spec.requirements.pin
    return attributes


def _of_payload(call: Call) -> Attributes:
    payload: object = call.payload
    if payload is None and call.decision is not None:
        payload = call.decision.payload_bytes
    if not isinstance(payload, int):
        return {}
    return {n.PAYLOAD: int(payload), n.AT_LEAST: True} if type(payload) is AtLeast else {n.PAYLOAD: payload}


def of_decision(decision: Decision) -> Attributes:
    """Where the call went, and why not elsewhere."""
    attributes: Attributes = {
        n.DESTINATION: decision.destination,
        n.TRANSPORT: decision.transport,
        n.RULE: decision.rule,
        n.REASON: decision.reason,
    }
    if decision.predicted_start_ns is not None:
        attributes[n.PREDICTED_START] = decision.predicted_start_ns / 1e3
    if decision.passed_over:
        attributes |= of_passed_over(decision.passed_over)
    if decision.over_budget:
        attributes[n.OVER_BUDGET] = True
    return attributes


def of_passed_over(candidates: tuple[PassedOver, ...]) -> Attributes:
    """Who did not get the call, why, and the fact behind it: what it was like just then."""
    attributes: Attributes = {n.PASSED_OVER: tuple(f"{each.destination}:{each.why}" for each in candidates)}
    if any(each.detail for each in candidates):
        attributes[n.DETAILS] = tuple(each.detail for each in candidates)
    return attributes


def of_overhead(call: Call, sent: int) -> Attributes:
    """What the caller paid until the destination had the call, in microseconds; `sent` is that moment.

    A moment that never came (arguments that travel by reference are not encoded) took no time. A candidate that
    failed before the last decision leaves moments out of order; none of the parts is negative all the same.
    """
    decided = max(call.decided, call.entered)
    encoded = max(call.serialized, decided)
    decide, serialize = decided - call.entered, encoded - decided
    enqueue = max(0, sent - encoded)
    return {
        n.OVERHEAD: (decide + serialize + enqueue) / 1e3,
        n.DECIDE: decide / 1e3,
        n.SERIALIZE: serialize / 1e3,
        n.ENQUEUE: enqueue / 1e3,
    }
