"""What a call looks like on a span. Never its arguments."""

from __future__ import annotations

from typing import TypeAlias

from opentelemetry.util.types import AttributeValue

from dispatch._call import Call
from dispatch._decision import Decision
from dispatch.errors import PassedOver
from dispatch.policy import AtLeast
from dispatch.telemetry import _names as n

Attributes: TypeAlias = dict[str, AttributeValue]


def of_call(call: Call) -> Attributes:
    """What is true wherever the call goes."""
    spec = call.spec
    attributes: Attributes = {n.TASK: spec.name, n.CALL: call.id}
    if spec.kind != "io":
        attributes[n.KIND] = spec.kind
    if spec.tags:
        attributes[n.TAGS] = sorted(spec.tags)
    payload: object = call.payload
    # A call that nobody could take may be refused before there is a decision.
    decision: Decision | None = call.decision
    if decision is not None:
        attributes[n.POLICY_VERSION] = decision.policy_version
        attributes[n.DURABILITY] = decision.durability
        if decision.latency_budget_ns is not None:
            attributes[n.LATENCY_BUDGET] = decision.latency_budget_ns / 1e3
        if decision.reason == "pinned":
            attributes[n.PIN] = spec.requirements.pin
        if payload is None:
            payload = decision.payload_bytes
    if isinstance(payload, int):
        attributes[n.PAYLOAD] = int(payload)
        if type(payload) is AtLeast:
            attributes[n.AT_LEAST] = True
    return attributes


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
    attributes: Attributes = {n.PASSED_OVER: [f"{each.destination}:{each.why}" for each in candidates]}
    if any(each.detail for each in candidates):
        attributes[n.DETAILS] = [each.detail for each in candidates]
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
