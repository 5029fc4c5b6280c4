"""The calls of the cases, decided by the very objects that decide, and what comes of it held to what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements
from dispatch.errors import NotConfigured, PassedOver, refusal
from dispatch.policy._estimate import Estimate
from dispatch.policy._explanation import Explanation
from dispatch.policy._node import Spot
from dispatch.policy._plan import Plan
from dispatch.policy._policy import Policy
from dispatch.policy.testing._grammar import CallSettings, Case, Expectation
from dispatch.policy.testing._reading import Cases
from dispatch.policy.testing._stage import Stage


class Outcome(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What became of the call of one case."""

    case: Case
    spot: Spot
    destination: str | None
    """`None`: nobody took it, and `delay` would raise `error`."""
    error: str | None
    passed_over: tuple[PassedOver, ...]
    explanation: Explanation | None
    """`None`: no destination of the policy obeys the call's pin."""
    differences: tuple[str, ...]
    """What was not as expected, each in a sentence."""

    @property
    def passed(self) -> bool:
        return not self.differences

    @property
    def rule(self) -> str | None:
        """Who chose."""
        return None if self.explanation is None else self.explanation.rules[-1].rule


def run(cases: Cases) -> list[Outcome]:
    """The outcome of each case, in the order of the file. Nothing is sent, and nothing connects."""
    return [_run(cases.policy, case, spot) for case, spot in zip(cases.cases, cases.spots, strict=True)]


def _run(policy: Policy, case: Case, spot: Spot) -> Outcome:
    stage = Stage(policy.destinations, case.given)
    spec = _spec(case.call)
    try:
        plan = policy.bind(spec, stage.places)
    except NotConfigured as error:
        return _outcome(case, spot, error=error, passed_over=(), explanation=None)
    size = case.call.payload
    plan.measure = lambda *_: size  # in place of arguments that measure so much
    explanation = plan.explain((), {})
    if explanation.decision is not None:
        return _outcome(case, spot, passed_over=explanation.decision.passed_over, explanation=explanation)
    passed = explanation.passed_over if stage.rejected is None else _until_rejected(plan, size, stage)
    refused = refusal(spec.name, passed, stage.spools)
    return _outcome(case, spot, error=refused, passed_over=passed, explanation=explanation)


def _until_rejected(plan: Plan, size: Estimate, stage: Stage) -> tuple[PassedOver, ...]:
    """Who was asked until `on_full: reject` ended it, in the order in which they are asked."""
    stage.renew()
    passed = []
    for each in plan.candidates(plan.route(size), size):
        refused = each if isinstance(each, PassedOver) else each.place.refuses(plan.spec, (), {})
        if refused is not None:
            passed.append(refused)
        if stage.rejected is not None:
            break
    return tuple(passed)


def _spec(call: CallSettings) -> TaskSpec:
    return TaskSpec(
        name=call.task,
        function=_spec,  # never called, and importable
        signature=lambda: None,
        requirements=Requirements(
            durability=call.durability,
            latency_budget_ns=call.latency_budget_ns,
            only=call.only,
            route_to=call.route_to,
        ),
        kind=call.kind,
        tags=frozenset(call.tags),
        coroutine=call.kind == "async",
    )


def _outcome(
    case: Case,
    spot: Spot,
    *,
    passed_over: tuple[PassedOver, ...],
    explanation: Explanation | None,
    error: Exception | None = None,
) -> Outcome:
    decision = None if explanation is None else explanation.decision
    found = Outcome(
        case=case,
        spot=spot,
        destination=None if decision is None else decision.destination,
        error=None if error is None else type(error).__name__,
        passed_over=passed_over,
        explanation=explanation,
        differences=(),
    )
    return msgspec.structs.replace(found, differences=tuple(_differences(case.expect, found)))


def _differences(expected: Expectation, found: Outcome) -> Iterator[str]:
    wanted = expected.destination or expected.error
    got = found.destination or found.error
    if wanted != got:
        yield f"expected {wanted}, got {got}"
    if expected.rule not in (None, found.rule):
        yield f"expected the rule {expected.rule}, got {found.rule or 'none: no destination obeys the pin'}"
    passed = {each.destination: each.why for each in found.passed_over}
    if expected.passed_over not in (None, passed):
        yield f"expected {_words(expected.passed_over or {})} to be passed over, got {_words(passed)}"
    decision = None if found.explanation is None else found.explanation.decision
    late = "true" if decision is not None and decision.over_budget else "false"
    if expected.over_budget not in (None, late):
        yield f"expected over_budget to be {expected.over_budget}, got {late}"


def _words(passed: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in passed.items()) or "nobody"
