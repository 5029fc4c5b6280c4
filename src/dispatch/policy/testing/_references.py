"""What a case says about its policy: destinations and rules that have to be there, and states that can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from dispatch._decision import Transport
from dispatch.errors import Problem
from dispatch.policy._mistake import choose
from dispatch.policy._node import Listing, Mapping, Node, Text
from dispatch.policy._policy import Policy
from dispatch.policy._references import taken
from dispatch.policy.testing._grammar import Trouble

_STATES: dict[Transport, tuple[str, ...]] = {
    "local": ("full", "refused"),
    "celery": ("breaker_open", "unverified", "not_configured", "refused"),
    "spool": ("full", "unverified", "not_configured", "refused"),
}
"""What each of them can be. A broker has always room, and memory keeps nothing that one could verify."""


def references(root: Mapping, policy: Policy) -> Iterator[Problem]:
    """Every name that the policy does not have, every state that cannot be, every name of a case that is taken."""
    names: dict[str, int] = {}
    for case in _mappings(root.get("cases")):
        yield from _own_name(case.get("name"), names)
        call, given, expected = (case.get(key) for key in ("call", "given", "expect"))
        if isinstance(call, Mapping):
            yield from _destination(call.get("route_to"), policy)
        if isinstance(given, Mapping):
            yield from _given(given, policy)
        if isinstance(expected, Mapping):
            yield from _expected(expected, policy)


def _mappings(node: Node | None) -> list[Mapping]:
    return [each for each in node.items if isinstance(each, Mapping)] if isinstance(node, Listing) else []


def _own_name(node: Node | None, names: dict[str, int]) -> Iterator[Problem]:
    line = taken(node, names)
    if node is not None and line is not None:
        yield node.spot.problem(
            "repeated-case",
            f"the case in line {line} has this name already",
            "Give each case a name of its own; the report shows it.",
        )


def _destination(node: Node | None, policy: Policy) -> Iterator[Problem]:
    if isinstance(node, Text):
        yield from _named(Mapping(node.spot, {node.value: (node.spot, node)}), policy)


def _named(mapping: Node | None, policy: Policy) -> Iterator[Problem]:
    """Each key of it is a destination."""
    for name, spot, _ in mapping.items() if isinstance(mapping, Mapping) else ():
        if name not in policy.destinations:
            yield spot.problem(
                "unknown-destination",
                f"there is no destination {name!a} in the policy",
                choose(name, policy.destinations, what="Declared are"),
            )


def _given(given: Mapping, policy: Policy) -> Iterator[Problem]:
    yield from _named(given, policy)
    for name, _, node in given.items():
        settings = policy.destinations.get(name)
        if settings is None:
            continue
        transport = settings.transport
        word = node.get("is") if isinstance(node, Mapping) else node
        if isinstance(word, Text) and word.value in get_args(Trouble) and word.value not in _STATES[transport]:
            yield word.spot.problem(
                "wrong-state",
                f"a destination of transport {transport} cannot be {word.value!a}",
                choose(word.value, _STATES[transport], what="It can be"),
            )
        if isinstance(node, Mapping) and "waiting" in node.entries and transport != "local":
            yield node.entries["waiting"][0].problem(
                "wrong-state",
                f"`waiting` is about room, and {name} is of transport {transport}",
                "Say `starts_in` for how long a call would wait, or remove it.",
            )


def _expected(expected: Mapping, policy: Policy) -> Iterator[Problem]:
    yield from _destination(expected.get("destination"), policy)
    yield from _named(expected.get("passed_over"), policy)
    rule = expected.get("rule")
    rules = [*(each.name for each in policy.rules), "otherwise"]
    if isinstance(rule, Text) and rule.value not in rules:
        yield rule.spot.problem(
            "unknown-rule", f"there is no rule {rule.value!a} in the policy", choose(rule.value, rules, what="It has")
        )
