"""What holds for every policy and every call, by search."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dispatch._registry import TaskSpec
from dispatch.errors import PassedOver, PolicyError, Problem
from dispatch.policy import AtLeast, Plan, Policy, load, parse
from policy.places import Made, a_task, by_name
from policy.universe import written

NAMES = ("here", "there", "queue", "far")
_REMOTE = NAMES[2:]
KEYS = (
    "version destinations defaults tasks rules otherwise transport route_to fallback match all any not payload "
    "latency_budget kind workers breaker name durability fast queue << [key]"
)
VALUES = "local celery spool cpu durable 1 0 -1 1s 0s 1MiB 1s..2s fast queue 10ms 1e9 on [key]"
WORDS = st.sampled_from([*KEYS.split(), *VALUES.split(), "> 1MiB", "", "\u2028", "\x00", "é", "9" * 30])
TREES = st.recursive(
    WORDS | st.none() | st.integers() | st.floats() | st.booleans() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)
SKELETON = {
    "version": 1,
    "destinations": {"fast": {"transport": "local"}, "queue": {"transport": "celery"}},
    "defaults": {"durability": "ephemeral"},
    "rules": [{"name": "first", "match": {"kind": "cpu"}, "route_to": "queue"}],
    "otherwise": {"route_to": "fast"},
}
CALM = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def problems_of(text: str) -> tuple[Problem, ...]:
    """What is wrong with it, perhaps nothing; any other exception fails the test."""
    try:
        parse(text)
    except PolicyError as error:
        return error.problems
    return ()


def well_told(problem: Problem) -> bool:
    """A place that an editor can go to, one line of text, a message and a cure."""
    assert str(problem).encode()
    return (
        problem.line >= 1
        and problem.column >= 1
        and "\n" not in problem.text
        and all([problem.code, problem.message, problem.cure])
    )


@CALM
@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_error(tmp_path_factory, data):
    """Nothing else comes out of a file that nobody wrote."""
    path = tmp_path_factory.getbasetemp() / "policy.yaml"
    path.write_bytes(data)
    with pytest.raises(PolicyError) as caught:
        load(path)

    assert all(map(well_told, caught.value.problems))


@CALM
@given(st.text(alphabet="{}[]:,-&*!|>#%'\"\\?@` \n\tab1<.", max_size=60))
def test_any_text_full_of_yaml_is_a_policy_or_a_policy_error(text):
    """Indicators in every order."""
    assert all(map(well_told, problems_of(text)))


@CALM
@given(TREES)
def test_any_tree_is_a_policy_or_a_policy_error(tree):
    """Values of every shape under keys of every name."""
    assert all(map(well_told, problems_of(json.dumps(tree, default=str))))


def spoil(tree, data):
    """Put a tree in the place of any part of `tree`."""
    node = tree
    while True:
        key = data.draw(st.sampled_from(list(node)) if isinstance(node, dict) else st.just(0))
        if not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(TREES)


@CALM
@given(st.data())
def test_any_change_of_a_good_policy_is_a_policy_or_a_policy_error(data):
    """A tree put in the place of any part of it."""
    tree = json.loads(json.dumps(SKELETON))
    spoil(tree, data)
    assert all(map(well_told, problems_of(json.dumps(tree, default=str))))


matches = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "task": st.sampled_from(["shop.*", "*", "bill.*", ["a", "shop.add"]]),
            "tags": st.sampled_from(["slow", ["slow", "eu"]]),
            "kind": st.sampled_from(["io", "cpu", "async"]),
            "durability": st.sampled_from(["ephemeral", "durable"]),
            "latency_budget": st.sampled_from(["> 0s", "< 50ms", ">= 1s", "10ms..2s"]),
            "payload": st.sampled_from(["> 0B", "> 100B", "<= 100B", "50B..1KiB", ">= 1KiB", "< 2KiB"]),
        },
    ).filter(bool),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "all": st.lists(inner, min_size=1, max_size=3),
            "any": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
        },
    ).filter(bool),
    max_leaves=6,
)
targets = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
tails = st.builds(
    lambda names, how: {"route_to": names[0], "fallback": names[1:], "on_infeasible": how},
    targets,
    st.sampled_from(["rank", "reject"]),
)
policies = st.builds(
    lambda rules, otherwise, durability: {
        "version": 1,
        "destinations": {
            name: {"transport": "celery" if name in _REMOTE else "local", "reached_by": "pins"} for name in NAMES
        },
        "defaults": {"durability": durability},
        "rules": [{"name": f"r{at}", "match": match, **tail} for at, (match, tail) in enumerate(rules)],
        "otherwise": otherwise,
    },
    st.lists(st.tuples(matches, tails), max_size=5),
    tails,
    st.sampled_from(["ephemeral", "durable"]),
)
places = st.tuples(
    *(
        st.builds(
            Made,
            st.just(name),
            transport=st.sampled_from(["local", "celery"]),
            keeps_durable=st.booleans(),
            always_fit=st.just(value=False),
            max_payload=st.sampled_from([None, 64, 1000]),
            start_ns=st.sampled_from([0, 10**7, 10**9, 10**10]),
            barred=st.sampled_from([None, None, "cannot_carry"]),
            down=st.sampled_from([None, None, "breaker_open"]),
            encodes=st.booleans(),
        )
        for name in NAMES
    )
)
specs = st.builds(
    a_task,
    st.sampled_from(["shop.add", "bill.pay"]),
    kind=st.sampled_from(["io", "cpu", "async"]),
    tags=st.sampled_from([frozenset(), frozenset({"slow"}), frozenset({"slow", "eu"})]),
    durability=st.sampled_from([None, "ephemeral", "durable"]),
    latency_budget=st.sampled_from([None, "10ms", "1s", "1h"]),
    route_to=st.sampled_from([None, None, None, *NAMES]),
    only=st.sampled_from([None, None, None, "local", "celery"]),
)
arguments = st.sampled_from([(), (1,), ("x" * 90,), ("x" * 800,), ("x" * 5000,), (object(),), (list(range(20_000)),)])


def mended(policy: dict) -> Policy:
    """The policy without what is proved against it."""
    return parse(written(mend(policy)))


def mend(policy: dict) -> dict:
    """The policy as it is written when each mistake is mended as its cure says."""
    policy = json.loads(json.dumps(policy))
    while True:
        try:
            parse(written(policy))
        except PolicyError as error:
            problem = error.problems[0]
        else:
            return policy
        at = problem.line - 2
        route = policy["rules"][at] if at < len(policy["rules"]) else policy["otherwise"]
        if problem.code in ("never-holds", "shadowed-rule", "redundant-rule"):
            del policy["rules"][at]
        elif problem.code == "no-effect":
            route["on_infeasible"] = "rank"
        elif len(route["fallback"]) + 1 < len(NAMES):
            route["fallback"] = [name for name in NAMES if name != route["route_to"]]
        else:
            raise AssertionError(problem)


def bind(policy: object, spec: TaskSpec, made: tuple[Made, ...]) -> Plan:
    assume(spec.requirements.only in {None, *(place.transport for place in made)})
    return mended(policy).bind(spec, by_name(*made))


@CALM
@given(policies, places, specs, arguments)
def test_every_call_has_exactly_one_decision_and_explaining_it_agrees(policy, made, spec, args):
    """What is explained is what the candidates, taken in order, would have led to."""
    bound = bind(policy, spec, made)
    size = bound.measure(args, {}) if bound.asks_payload else None
    route = bound.only or bound.route(size)
    passed, decision, seen = [], None, []
    for each in bound.candidates(route, size):
        seen.append(each.destination if isinstance(each, PassedOver) else each.name)
        answer = each if isinstance(each, PassedOver) else each.place.refuses(spec, args, {})
        if answer is not None:
            passed.append(answer)
        elif decision is None:
            decision = route.decision_for(each, tuple(passed))
    explained = bound.explain(args, {})

    assert decision == explained.decision
    assert [asked.rule for asked in explained.rules if asked.matched] == [route.rule]
    assert sorted(seen) == sorted(set(seen)) == sorted(each.destination for each in explained.candidates)
    if decision is not None:
        assert [decision.destination] == [each.destination for each in explained.candidates if each.chosen]
        assert decision.destination not in [over.destination for over in decision.passed_over]


@CALM
@given(policies, places, specs, arguments)
def test_no_durable_call_is_offered_to_what_cannot_keep_it(policy, made, spec, args):
    """Whatever the rules, the pins and the state of the destinations say."""
    bound = bind(policy, spec, made)
    size = bound.measure(args, {}) if bound.asks_payload else None
    route = bound.only or bound.route(size)
    offered = [each.place for each in bound.candidates(route, size) if not isinstance(each, PassedOver)]

    assert bound.durability == "ephemeral" or all(place.keeps_durable for place in offered)
    assert bound.durability == "ephemeral" or route.first is None
    assert route.first is None or route.first in offered


@CALM
@given(policies, places, specs, st.none() | st.integers(0, 3000) | st.integers(0, 3000).map(AtLeast))
def test_what_was_settled_when_binding_is_what_the_whole_policy_says(policy, made, spec, size):
    """The routes of a plan are those that asking every rule anew would give."""
    bound = bind(policy, spec, made)
    if bound.only is not None:
        facts = bound._facts_of(size)
        assert {bound.only.rule} == {next(rule.name for rule in bound._rules if rule.holds(facts))}
        return
    expected = next(rule for rule in bound._rules if rule.holds(bound._facts_of(size)))
    route = bound.route(size)

    assert expected.name == route.rule
    assert bound._bench.entries(expected, size) == route.entries
