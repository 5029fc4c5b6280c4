"""What a call looks like on a span. Never its arguments."""

from __future__ import annotations

from typing import TypeAlias

from opentelemetry.util.types import AttributeValue

from dispatch._call import Call
from dispatch._decision import Decision
from dispatch._registry import TaskSpec
from dispatch.errors import PassedOver
from dispatch.policy import AtLeast
from dispatch.telemetry import _names as n
from dispatch.telemetry._overhead import Overhead

Attributes: TypeAlias = dict[str, AttributeValue]


def of_call(call: Call) -> Attributes:
    """What is true wherever the call goes."""
    decision: Decision | None = call.decision
    payload = call.payload if call.payload is not None or decision is None else decision.payload_bytes
    return {**of_task(call.spec, decision), n.CALL: call.id, **of_payload(payload)}


def of_task(spec: TaskSpec, decision: Decision | None) -> Attributes:
    """What the task and the policy have said before the call. Without a decision: it was refused before one."""
    attributes: Attributes = {n.TASK: spec.name}
    if spec.kind != "io":
        attributes[n.KIND] = spec.kind
    if spec.tags:
        attributes[n.TAGS] = tuple(sorted(spec.tags))
    if decision is not None:
        attributes[n.POLICY_VERSION] = decision.policy_version
        attributes[n.DURABILITY] = decision.durability
        if decision.latency_budget_ns is not None:
            attributes[n.LATENCY_BUDGET] = decision.latency_budget_ns / 1e3
        if decision.reason == "pinned":
            attributes[n.PIN] = spec.requirements.pin
    return attributes


def of_payload(payload: object) -> Attributes:
    """The estimate, where one was made."""
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


def of_overhead(paid: Overhead) -> Attributes:
    """What the caller paid, in microseconds."""
    return {
        n.OVERHEAD: paid.total / 1e3,
        n.DECIDE: paid.decide / 1e3,
        n.SERIALIZE: paid.serialize / 1e3,
        n.ENQUEUE: paid.enqueue / 1e3,
    }
