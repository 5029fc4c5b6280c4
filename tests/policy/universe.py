"""Every call that a small vocabulary has room for, and policies written in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import product

from hypothesis import strategies as st

from dispatch.policy import AtLeast, Policy
from dispatch.policy._facts import Facts
from dispatch.policy._grammar import PolicyFile
from policy.places import a_task

MS = 10**6
TRANSPORTS = {"here": "local", "there": "local", "queue": "celery", "far": "celery", "disk": "spool"}
GLOBS = ["shop.*", "*", "bill.*", "*.add", "[!s]*", "a"]
NAMES = ["shop.add", "shop.x", "bill.add", "bill.x", "a", "s", "z", "z.add", "s.add"]
"""One for every way in which these globs may hold together."""
TAGS = [frozenset(), frozenset({"slow"}), frozenset({"slow", "eu"})]
KINDS = ["io", "cpu", "async"]
BUDGETS = [None, 5 * MS, 100 * MS, 1500 * MS]
SIZES = [None, 0, 101, 1001, 1024, AtLeast(10_000)]


def some_of(**options: st.SearchStrategy) -> st.SearchStrategy[dict]:
    """At least one of these keys, made so from the start: nothing is drawn to be thrown away."""
    return st.sampled_from([*options]).flatmap(
        lambda key: st.fixed_dictionaries(
            {key: options[key]}, optional={other: options[other] for other in options if other != key}
        )
    )


matches = st.recursive(
    some_of(
        task=st.sampled_from(GLOBS) | st.lists(st.sampled_from(GLOBS), min_size=1, max_size=3),
        tags=st.sampled_from(["slow", ["slow", "eu"]]),
        kind=st.sampled_from(["io", "cpu", "async"]),
        durability=st.sampled_from(["ephemeral", "durable"]),
        latency_budget=st.sampled_from(["< 50ms", ">= 1s", "50ms..1s"]),
        payload=st.sampled_from(["> 100B", "<= 100B", "101B..1KiB", ">= 1KiB", "0B..1KiB"]),
    ),
    lambda inner: some_of(
        **{
            "all": st.lists(inner, min_size=1, max_size=3),
            "any": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
        }
    ),
    max_leaves=5,
)
targets = st.sampled_from(
    [["here"], ["here", "queue"], ["queue"], ["queue", "disk"], ["disk"], ["there", "here"], ["far"], ["disk", "there"]]
)
tails = st.builds(
    lambda names, how: {"route_to": names[0], "fallback": names[1:], "on_infeasible": how},
    targets,
    st.sampled_from(["rank", "rank", "reject"]),
)
settings_of_tasks = st.fixed_dictionaries(
    {}, optional={"durability": st.sampled_from(["ephemeral", "durable"]), "latency_budget": st.just("2s")}
)
policies = st.builds(
    lambda rules, otherwise, defaults, tasks, limit: {
        "version": 1,
        "destinations": {
            "here": {"transport": "local", "reached_by": "pins"},
            "there": {"transport": "local", "reached_by": "pins", "max_bytes": "1000B"},
            "queue": {"transport": "celery", "reached_by": "pins"} | ({"max_payload": limit} if limit else {}),
            "far": {"transport": "celery", "reached_by": "pins"},
            "disk": {"transport": "spool", "reached_by": "pins", "forward_to": "queue"},
        },
        "defaults": defaults,
        "tasks": tasks,
        "rules": [{"name": f"r{at}", "match": match, **tail} for at, (match, tail) in enumerate(rules)],
        "otherwise": otherwise,
    },
    st.lists(st.tuples(matches, tails), max_size=5),
    tails,
    st.fixed_dictionaries(
        {"durability": st.sampled_from(["ephemeral", "durable"])}, optional={"latency_budget": st.just("1s")}
    ),
    st.dictionaries(st.sampled_from(GLOBS), settings_of_tasks, max_size=2),
    st.sampled_from([None, "1000B"]),
)


def written(policy: object) -> str:
    """The policy as text, each rule in a line of its own, the first of them in line 2."""
    rules = ",\n".join(map(json.dumps, policy["rules"]))
    rest = {key: value for key, value in policy.items() if key != "rules"}
    return f'{{"rules": [\n{rules}\n],\n{json.dumps(rest)[1:]}\n'


def unproved(policy: dict) -> Policy:
    """The policy, whatever can be proved of it."""
    return Policy(
        version="unproved", sources=(), file=PolicyFile.model_validate(json.loads(json.dumps(policy), parse_int=str))
    )


def calls(policy: Policy) -> Iterator[Facts]:
    """Every call of the vocabulary, with the facts that the policy sees."""
    for name in NAMES:
        said = {
            policy._requirements(a_task(name, durability=durability, **({} if budget is None else _in_seconds(budget))))
            for durability in (None, "ephemeral", "durable")
            for budget in BUDGETS
        }
        for durability, budget in said:
            yield from _facts(name, durability, budget)


@cache
def _facts(name: str, durability: str, budget: int | None) -> list[Facts]:
    return [
        Facts(task=name, tags=tags, kind=kind, durability=durability, latency_budget_ns=budget, payload=size)
        for tags, kind, size in product(TAGS, KINDS, SIZES)
    ]


def _in_seconds(budget: int) -> dict[str, float]:
    return {"latency_budget": budget / 1e9}
