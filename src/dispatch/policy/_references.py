"""What a policy says about itself: destinations that rules name, and names that must differ.

Asked of the nodes, not of the models, so that a file with other mistakes gets these reported with them.
"""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.errors import Problem
from dispatch.policy._mistake import choose
from dispatch.policy._node import Listing, Mapping, Node, Text


def references(root: Mapping) -> Iterator[Problem]:
    """Every destination that is named and not declared, or named twice, and every rule's name that is taken."""
    declared = root.get("destinations")
    known = list(declared.entries) if isinstance(declared, Mapping) else None
    names: dict[str, int] = {}
    for rule in _rules(root):
        yield from _targets(rule, known)
        yield from _taken(rule.get("name"), names)
    otherwise = root.get("otherwise")
    if isinstance(otherwise, Mapping):
        yield from _targets(otherwise, known)
    for _, _, destination in declared.items() if isinstance(declared, Mapping) else ():
        for key in ("forward_to", "run"):
            if isinstance(destination, Mapping):
                yield from _named(destination.get(key), known)


def _rules(root: Mapping) -> list[Mapping]:
    rules = root.get("rules")
    return [rule for rule in rules.items if isinstance(rule, Mapping)] if isinstance(rules, Listing) else []


def _targets(rule: Mapping, known: list[str] | None) -> Iterator[Problem]:
    fallback = rule.get("fallback")
    seen: set[str] = set()
    for node in (rule.get("route_to"), *(fallback.items if isinstance(fallback, Listing) else ())):
        yield from _named(node, known)
        if isinstance(node, Text):
            if node.value in seen:
                yield node.spot.problem(
                    "repeated-destination",
                    f"{node.value!a} is already a candidate of this rule",
                    "Name each destination once; a call that it did not take is not offered to it again.",
                )
            seen.add(node.value)


def _named(node: Node | None, known: list[str] | None) -> Iterator[Problem]:
    if isinstance(node, Text) and known is not None and node.value not in known:
        yield node.spot.problem(
            "unknown-destination",
            f"there is no destination {node.value!a}",
            choose(node.value, known, what="Declared are"),
        )


def _taken(node: Node | None, names: dict[str, int]) -> Iterator[Problem]:
    if not isinstance(node, Text):
        return
    if node.value in names:
        yield node.spot.problem(
            "repeated-rule",
            f"the rule in line {names[node.value]} has this name already",
            "Give each rule a name of its own; decisions and traces show it.",
        )
    names.setdefault(node.value, node.spot.line)
