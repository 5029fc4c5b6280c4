"""A latency budget ranks the candidates and never disqualifies one."""

from __future__ import annotations

import pytest

from dispatch.errors import PassedOver
from policy.places import Made, a_task, broker, local, offered, plan

MS = 10**6
BOTH = "otherwise: {route_to: queue, fallback: [fast]}\n"
THREE = "otherwise: {route_to: queue, fallback: [other, fast]}\n"
REJECT = "otherwise: {route_to: queue, fallback: [fast], on_infeasible: reject}\n"


def bound(rules: str, *places: Made, **requirements: str):
    return plan(rules, a_task(**{"latency_budget": "10ms", **requirements}), *places)


def ranked(each):
    return [candidate for candidate in each.candidates(each.only, None) if not isinstance(candidate, PassedOver)]


def test_without_a_budget_the_order_of_the_rule_is_the_ranking():
    """Nobody is asked how long it would take."""
    slow_first = plan(BOTH, a_task(), broker(start_ns=5000 * MS))

    assert ["queue", "fast"] == offered(slow_first)
    assert [None, None] == [each.predicted_start_ns for each in ranked(slow_first)]


def test_the_first_that_starts_in_time_comes_first():
    """Not the earliest: the rule's order counts among those within the budget."""
    assert ["queue", "fast"] == offered(bound(BOTH, broker(start_ns=10 * MS), local(start_ns=1 * MS)))


def test_one_that_would_be_late_stands_behind_one_that_would_not():
    """It still gets the call when the other does not take it, and is marked then."""
    each = bound(BOTH, broker(start_ns=11 * MS), local(start_ns=1 * MS))
    fast, queue = ranked(each)

    assert ("fast", False, 1 * MS) == (fast.name, fast.over_budget, fast.predicted_start_ns)
    assert ("queue", True, 11 * MS) == (queue.name, queue.over_budget, queue.predicted_start_ns)
    decision = each.only.decision_for(fast, [])
    assert [("queue", "over_budget")] == [(over.destination, over.why) for over in decision.passed_over]
    assert "11 ms" in decision.passed_over[0].detail
    late = each.only.decision_for(queue, [PassedOver("fast", "full")])
    assert late.over_budget
    assert [("fast", "full")] == [(over.destination, over.why) for over in late.passed_over]


def test_when_nobody_is_in_time_the_earliest_gets_the_call_marked():
    """A budget is a wish about the ranking, not a reason to lose a call."""
    each = bound(THREE, broker(start_ns=90 * MS), broker("other", start_ns=30 * MS), local(start_ns=60 * MS))

    assert ["other", "fast", "queue"] == offered(each)
    assert [True] * 3 == [candidate.over_budget for candidate in ranked(each)]


def test_a_spool_never_competes_on_time():
    """Whatever it predicts, it comes last."""
    spool = Made("other", transport="spool", start_ns=0)

    assert ["fast", "queue", "other"] == offered(bound(THREE, broker(start_ns=90 * MS), spool, local(start_ns=60 * MS)))


def test_what_is_not_fit_is_told_before_whoever_stands_behind_it():
    """And after whoever stands before it: it was not passed over for that one."""
    each = bound(THREE, broker(start_ns=0), broker("other", down="breaker_open"), local(start_ns=0))

    assert ["queue", "other: breaker_open", "fast"] == offered(each)


def test_on_infeasible_reject_refuses_an_ephemeral_call_that_would_be_late():
    """Each late candidate is passed over as such."""
    assert ["queue: over_budget", "fast"] == offered(bound(REJECT, broker(start_ns=11 * MS), local(start_ns=1 * MS)))
    assert ["queue: over_budget", "fast: over_budget"] == offered(
        bound(REJECT, broker(start_ns=11 * MS), local(start_ns=12 * MS))
    )


def test_on_infeasible_reject_does_not_touch_a_durable_call():
    """What must not be lost is late rather than refused."""
    each = bound(REJECT, broker(start_ns=11 * MS), durability="durable")

    assert ["queue", "fast: not_durable"] == offered(each)
    assert ranked(each)[0].over_budget


@pytest.mark.parametrize("start", [9 * MS, 10 * MS])
def test_the_budget_itself_is_in_time(start):
    """At most the budget, as the requirement says."""
    assert not ranked(bound("otherwise: {route_to: queue}\n", broker(start_ns=start)))[0].over_budget
