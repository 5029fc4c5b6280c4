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


# Hysteresis ------------------------------------------------------------------------------------------------------


def preferred(each):
    return ranked(each)[0].name


def test_a_prediction_that_swings_about_the_budget_changes_the_order_once():
    """A square wave of load: late and not quite late, a thousand times."""
    queue = broker()
    each = bound(BOTH, queue, local(start_ns=1 * MS))
    chosen = []
    for turn in range(2000):
        queue.start_ns = (12 if turn % 2 else 8) * MS
        chosen.append(preferred(each))

    assert ["queue", *["fast"] * 1999] == chosen


def test_who_was_late_comes_first_again_once_it_is_well_within_the_budget():
    """A quarter of the budget, and not before."""
    queue = broker(start_ns=11 * MS)
    each = bound(BOTH, queue, local(start_ns=1 * MS))
    seen = [preferred(each)]
    for start in (8 * MS, 7_500_001, 7_500_000, 10 * MS):
        queue.start_ns = start
        seen.append(preferred(each))

    assert ["fast", "fast", "fast", "queue", "queue"] == seen


def test_one_in_doubt_is_in_time_all_the_same():
    """It stands before those that are late, is not marked, and is no reason to refuse."""
    queue = broker(start_ns=11 * MS)
    each = bound(REJECT, queue, local(start_ns=12 * MS))
    assert [] == ranked(each)

    queue.start_ns = 9 * MS
    assert [("queue", False)] == [(candidate.name, candidate.over_budget) for candidate in ranked(each)]


def test_one_in_doubt_says_below_what_it_comes_first_again():
    """Or an explanation would read like a mistake: late at 8 ms with a budget of 10."""
    queue = broker(start_ns=11 * MS)
    each = bound(BOTH, queue, local(start_ns=1 * MS))
    ranked(each)
    queue.start_ns = 8 * MS

    [over] = ranked(each)[0].outranked
    assert (
        "over_budget",
        "it would start in 8 ms, and the budget is 10 ms; it was late before, and comes first again below 7.5 ms",
    ) == (over.why, over.detail)


def test_explaining_remembers_nothing_and_agrees_with_the_next_decision():
    """Looking must not send a call elsewhere."""
    queue = broker(start_ns=11 * MS)
    each = bound(BOTH, queue, local(start_ns=1 * MS))

    assert "fast" == each.explain((), {}).decision.destination
    queue.start_ns = 8 * MS
    assert "queue" == each.explain((), {}).decision.destination == preferred(each)
    queue.start_ns = 11 * MS
    preferred(each)
    queue.start_ns = 8 * MS
    assert "fast" == each.explain((), {}).decision.destination == preferred(each)


def test_who_is_not_fit_for_a_while_stays_what_it_was():
    """A breaker that opens and closes forgives nothing."""
    queue = broker(start_ns=11 * MS)
    each = bound(BOTH, queue, local(start_ns=1 * MS))
    seen = []
    for start, down in ((11 * MS, None), (8 * MS, "breaker_open"), (8 * MS, None)):
        queue.start_ns, queue.down = start, down
        seen.append(preferred(each))

    assert ["fast", "fast", "fast"] == seen
