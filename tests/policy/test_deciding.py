"""Which rule chooses a call, and what a task says once and for all."""

from __future__ import annotations

import pytest

from dispatch.errors import PassedOver
from dispatch.policy import parse
from policy.places import HEAD, a_task, broker, by_name, decided, local, offered, plan

OTHERWISE = "otherwise: {route_to: fast}\n"


def rule(match: str) -> str:
    return f"rules: [{{name: first, match: {match}, route_to: queue}}]\n{OTHERWISE}"


@pytest.mark.parametrize(
    ("match", "spec", "holds"),
    [
        ("{task: 'shop.*'}", a_task("shop.cart.add"), True),
        ("{task: 'shop.*'}", a_task("Shop.add"), False),
        ("{task: [a, 'shop.add']}", a_task("shop.add"), True),
        ("{task: 'shop.[ab]dd'}", a_task("shop.add"), True),
        ("{task: shop}", a_task("shop.add"), False),
        ("{tags: slow}", a_task(tags=frozenset({"slow", "eu"})), True),
        ("{tags: [slow, us]}", a_task(tags=frozenset({"slow", "eu"})), False),
        ("{kind: cpu}", a_task(kind="cpu"), True),
        ("{kind: cpu}", a_task(kind="async"), False),
        ("{durability: durable}", a_task(durability="durable"), True),
        ("{durability: durable}", a_task(), False),
        ("{latency_budget: '>= 1s'}", a_task(latency_budget="1s"), True),
        ("{latency_budget: '> 1s'}", a_task(latency_budget="1s"), False),
        ("{latency_budget: '< 1s'}", a_task(latency_budget="999ms"), True),
        ("{latency_budget: '<= 1s'}", a_task(latency_budget="1s"), True),
        ("{latency_budget: 1s..2s}", a_task(latency_budget="1s"), True),
        ("{latency_budget: 1s..2s}", a_task(latency_budget="2s"), False),
        ("{latency_budget: '< 1s'}", a_task(), False),
        ("{latency_budget: '> 0s'}", a_task(), False),
        ("{latency_budget: '> 0s'}", a_task(latency_budget="1h"), True),
        ("{not: {latency_budget: '< 1s'}}", a_task(), True),
        ("{kind: cpu, task: 'shop.*'}", a_task(kind="cpu"), True),
        ("{kind: cpu, task: 'other.*'}", a_task(kind="cpu"), False),
        ("{any: [{kind: cpu}, {kind: async}]}", a_task(kind="async"), True),
        ("{any: [{kind: cpu}, {kind: async}]}", a_task(), False),
        ("{all: [{kind: io}, {not: {tags: slow}}]}", a_task(), True),
        ("{not: {any: [{kind: io}, {tags: slow}]}}", a_task(), False),
    ],
)
def test_a_match_on_what_the_task_says_is_settled_when_it_is_bound(match, spec, holds):
    """Nothing is left to ask of a call."""
    bound = plan(rule(match), spec)

    assert not bound.asks_payload
    assert bound.only is not None
    assert ("first" if holds else "otherwise") == bound.only.rule
    assert ("rule" if holds else "otherwise") == bound.only.reason


@pytest.mark.parametrize(
    ("match", "size", "holds"),
    [
        ("'> 1KiB'", 1024, False),
        ("'> 1KiB'", 1025, True),
        ("'>= 1KiB'", 1024, True),
        ("'>= 1KiB'", 1023, False),
        ("'< 1KiB'", 1023, True),
        ("'< 1KiB'", 1024, False),
        ("'<= 1KiB'", 1024, True),
        ("'<= 1KiB'", 1025, False),
        ("512B..1KiB", 511, False),
        ("512B..1KiB", 512, True),
        ("512B..1KiB", 1023, True),
        ("512B..1KiB", 1024, False),
        ("'> 0B'", None, False),
        ("'< 1KiB'", None, False),
    ],
)
def test_a_comparison_with_the_payload_is_exact_at_its_bounds(match, size, holds):
    """The lower bound of a range is in, the upper one out; what is unknown compares to nothing."""
    bound = plan(rule(f"{{payload: {match}}}"))

    assert bound.asks_payload
    assert bound.only is None
    assert ("first" if holds else "otherwise") == bound.route(size).rule


def test_the_first_rule_that_holds_decides():
    """Also when a later one would hold too, and when an earlier one depends on the payload."""
    bound = plan(
        "rules:\n"
        "  - {name: big, match: {payload: '> 1KiB'}, route_to: other}\n"
        "  - {name: cpu, match: {kind: cpu}, route_to: fast}\n"
        "  - {name: also, match: {tags: slow}, route_to: queue}\n" + OTHERWISE,
        a_task(kind="cpu", tags=frozenset({"slow"})),
    )

    assert ("cpu", "fast") == decided(bound, 1)
    assert ("big", "other") == decided(bound, "x" * 2000)


def test_a_payload_rule_that_can_no_longer_matter_is_not_asked():
    """Behind a rule that surely holds, or beside a condition that surely does not."""
    behind = plan(
        "rules:\n"
        "  - {name: io, match: {kind: io}, route_to: fast}\n"
        "  - {name: big, match: {payload: '> 1KiB'}, route_to: other}\n" + OTHERWISE
    )
    beside = plan(rule("{payload: '> 1KiB', kind: cpu}"))
    either = plan(rule("{any: [{payload: '> 1KiB'}, {kind: io}]}"))

    assert [False] * 3 == [each.asks_payload for each in (behind, beside, either)]
    assert ["io", "otherwise", "first"] == [each.only.rule for each in (behind, beside, either)]


def test_the_payload_is_counted_no_further_than_the_largest_size_that_matters():
    """And all of it where it is smaller."""
    bound = plan(rule("{payload: 1KiB..2KiB}"))

    assert 2048 <= bound.measure(("x" * 10**6, "y" * 10**6), {}) < 1_100_000
    assert 1004 + 4 == bound.measure(("x" * 1000,), {})


def test_routes_are_made_once():
    """Two calls of the same range of sizes get the same object."""
    bound = plan(rule("{payload: '> 1KiB'}"))

    assert bound.route(5) is bound.route(1024)
    assert bound.route(1025) is bound.route(10**9)
    assert bound.route(5) is not bound.route(1025)


POLICY = (
    HEAD.replace("{durability: ephemeral}", "{durability: ephemeral, latency_budget: 1h}")
    + """\
tasks:
  "billing.*": {latency_budget: 5s}
  "*.refund": {durability: durable, latency_budget: 1s}
  "*": {durability: ephemeral}
otherwise: {route_to: fast, fallback: [queue]}
"""
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (a_task("shop.add"), ("ephemeral", 3600 * 10**9)),
        (a_task("billing.charge"), ("ephemeral", 5 * 10**9)),
        (a_task("billing.refund"), ("durable", 5 * 10**9)),
        (a_task("shop.refund", durability="ephemeral"), ("durable", 10**9)),
        (a_task("shop.add", durability="durable", latency_budget="7s"), ("durable", 7 * 10**9)),
        (a_task("billing.refund", latency_budget="7s"), ("durable", 7 * 10**9)),
    ],
)
def test_the_strongest_durability_and_the_nearest_budget_hold(spec, expected):
    """The call and its task before the policy's patterns, the first of these before its defaults."""
    bound = parse(POLICY).bind(spec, by_name(local(), broker(), broker("other")))

    assert expected == (bound.durability, bound.latency_budget_ns)


def test_the_default_speaks_only_where_nobody_else_does():
    """A task that says ephemeral stays so under a policy whose default is durable."""
    policy = parse(
        HEAD.replace("durability: ephemeral", "durability: durable") + "otherwise: {route_to: fast, fallback: [queue]}"
    )
    places = by_name(local(), broker(), broker("other"))

    assert "durable" == policy.bind(a_task(), places).durability
    assert "ephemeral" == policy.bind(a_task(durability="ephemeral"), places).durability


def test_a_destination_that_bars_the_task_is_passed_over():
    """It is asked once, when the task is bound, and never gets a call."""
    fast = local()
    bound = plan("otherwise: {route_to: fast, fallback: [queue]}\n", a_task(durability="durable"), fast)

    assert ["fast: not_durable", "queue"] == offered(bound)
    assert ["queue"] == [place.name for place in bound.only.places]
    assert ["bars"] == fast.asked


def test_a_payload_over_the_destinations_limit_passes_it_over():
    """`max_payload` itself still fits; what is unknown is not held against it."""
    bound = plan("otherwise: {route_to: queue, fallback: [fast]}\n", None, broker(max_payload=1000))

    assert bound.asks_payload
    assert ["queue", "fast"] == offered(bound, "x" * 992)
    assert ["queue: too_big", "fast"] == offered(bound, "x" * 993)
    assert ["queue: too_big", "fast"] == offered(bound, "x" * 10**6)
    assert ["queue", "fast"] == offered(bound, object())


def test_nothing_is_asked_of_a_call_that_can_only_go_one_way():
    """`first` and its decision are ready; a call costs a lookup."""
    fast = local()
    route = plan("otherwise: {route_to: fast, fallback: [queue]}\n", None, fast).only

    assert route.first is fast
    assert ("fast", "local", "otherwise", "otherwise", ()) == (
        route.decision.destination,
        route.decision.transport,
        route.decision.rule,
        route.decision.reason,
        route.decision.passed_over,
    )
    assert ["bars"] == fast.asked


def test_a_decision_names_only_those_who_stood_before_the_chosen_one():
    """A destination that was never reached was not passed over."""
    gone = broker("other", barred="not_configured")
    behind = plan("otherwise: {route_to: fast, fallback: [other]}\n", None, gone).only
    ahead = plan("otherwise: {route_to: other, fallback: [fast]}\n", None, gone).only

    assert () == behind.decision.passed_over
    assert ["other"] == [each.destination for each in ahead.decision.passed_over]
    assert "fast" == ahead.decision.destination


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (a_task(durability="durable"), broker("fast")),
        (a_task(latency_budget="1s"), local()),
        (a_task(), local(always_fit=False)),
    ],
)
def test_a_destination_that_has_to_be_asked_is_never_first(spec, place):
    """Durable calls, budgets and brokers need a look at each call."""
    route = plan(OTHERWISE, spec, place).only

    assert route.first is None
    assert "fast" == route.decision.destination


def test_who_stands_behind_a_broker_that_is_left_alone_is_sure_to_get_the_call():
    """One question more than for the first, and one decision for them all, as long as the reason is the same."""
    queue = broker("other", down="breaker_open")
    route = plan("otherwise: {route_to: other, fallback: [fast]}\n", None, queue).only
    reason = PassedOver("other", "breaker_open")
    queue.unfit = lambda _durability: reason
    decision = route.for_second()

    assert ("fast", (reason,)) == (decision.destination, decision.passed_over)
    assert decision is route.for_second()
    queue.unfit = lambda _durability: PassedOver("other", "refused")
    assert "refused" == route.for_second().passed_over[0].why
    queue.unfit = lambda _durability: None
    assert route.for_second() is None


@pytest.mark.parametrize("spec", [a_task(durability="durable"), a_task(latency_budget="1s")])
def test_what_must_be_weighed_has_no_sure_second(spec):
    """Durable calls and budgets ask every candidate."""
    assert plan("otherwise: {route_to: other, fallback: [fast]}\n", spec, broker("other")).only.second is None


def test_a_destination_is_not_asked_before_its_turn():
    """Whoever takes the call from the first candidate costs the second nothing."""
    queue, other = broker(down="not_configured"), broker("other")
    bound = plan("otherwise: {route_to: queue, fallback: [fast, other]}\n", None, queue, other)
    candidates = bound.candidates(bound.only, None)

    assert "not_configured" == next(candidates).why
    assert "fast" == next(candidates).name
    assert "unfit" in queue.asked
    assert "unfit" not in other.asked
