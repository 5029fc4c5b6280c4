"""A thousand rules: what it costs to load, prove and bind them, and that a call pays nothing for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from benchmarks.case import Bar, Case
from dispatch import Dispatcher
from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements
from dispatch.policy import Policy, parse

COUNT = 1000
READ = f"policy: load and prove {COUNT} rules, bind {COUNT} tasks"
FEW = "policy: decide a call under 3 rules"
MANY = f"policy: decide a call under {COUNT} rules"

BARS = (Bar(READ, 5.0), Bar(MANY, 1.1, FEW))

_HEAD = """\
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery, max_payload: 8MiB}
  slow: {transport: celery, queue: slow}
  disk: {transport: spool, forward_to: queue}
defaults: {durability: ephemeral}
tasks:
  "shop7*.*": {latency_budget: 5s}
  "*.charge": {durability: durable}
rules:
  - {name: must-survive, match: {durability: durable}, route_to: queue, fallback: [disk]}
"""
_OTHERWISE = "otherwise: {route_to: fast, fallback: [queue]}\n"
_MATCHES = (
    'task: "shop{at}.*", kind: cpu',
    'task: ["shop{at}.mail*", "shop{at}.*.mail"], not: {{tags: urgent}}',
    'task: "shop{at}.*", latency_budget: ">= {at}ms"',
    'task: "*.report{at}", payload: "> {at}KiB"',
    "tags: [bulk, customer{at}]",
    'any: [{{task: "shop{at}.a*", tags: eu}}, {{kind: async, tags: wide{at}}}]',
)


def written(count: int) -> str:
    """A policy of so many rules, each for calls of its own and for some that others want too."""
    rules = [
        f"  - {{name: rule{at}, match: {{{_MATCHES[at % len(_MATCHES)].format(at=at)}}}, "
        f"route_to: {'slow' if at % 2 else 'queue'}, fallback: [fast]}}\n"
        for at in range(1, count)
    ]
    return _HEAD + "".join(rules) + _OTHERWISE


def spec(at: int) -> TaskSpec:
    return TaskSpec(
        name=f"shop{at}.resize",
        function=spec,
        signature=spec,
        requirements=Requirements(),
        kind="cpu" if at % 3 == 0 else "io",
        tags=frozenset({"bulk", f"customer{at}"} if at % 5 == 0 else ()),
    )


@contextmanager
def cases() -> Iterator[list[Case]]:
    few, many = Dispatcher(policy=parse(written(3))), Dispatcher(policy=parse(written(COUNT)))
    try:
        yield [
            Case(name=READ, count=1, take=lambda _: _read(many)),
            Case(name=FEW, count=100_000, take=lambda count: _decide(few, count)),
            Case(name=MANY, count=100_000, take=lambda count: _decide(many, count)),
        ]
    finally:
        few.shutdown(0)
        many.shutdown(0)


def _read(dispatcher: Dispatcher) -> float:
    text, specs = written(COUNT), [spec(at) for at in range(COUNT)]
    began = perf_counter()
    policy: Policy = parse(text)
    for each in specs:
        policy.bind(each, dispatcher.destinations)
    return perf_counter() - began


def _decide(dispatcher: Dispatcher, count: int) -> float:
    """What a call asks of the engine, as the dispatcher does: the task's plan, and its route."""
    task = spec(1001)
    plan = dispatcher.policy.bind(task, dispatcher.destinations)
    began = perf_counter()
    for _ in range(count):
        _ = plan.only or plan.route(plan.measure((), {}))
    return perf_counter() - began
