"""What a policy says about itself: destinations that rules name, and names that must differ.

Asked of the nodes, not of the models, so that a file with other mistakes gets these reported with them.
"""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.errors import Problem
from dispatch.policy._mistake import choose
from dispatch.policy._node import Listing, Mapping, Node, Text

_WAYS_OUT = {"forward_to": "celery", "run": "local"}
"""The keys of a spool that name a destination, and the transport that this has to have."""


def references(root: Mapping) -> Iterator[Problem]:
    """Every destination that is named and not declared, or named twice, and every rule's name that is taken."""
    declared = root.get("destinations")
    known = list(declared.entries) if isinstance(declared, Mapping) else None
    names: dict[str, int] = {}
    for rule in _rules(root):
        yield from _targets(rule, known)
        yield from _own_name(rule.get("name"), names)
    otherwise = root.get("otherwise")
    if isinstance(otherwise, Mapping):
        yield from _targets(otherwise, known)
    for _, _, destination in declared.items() if isinstance(declared, Mapping) else ():
        if isinstance(destination, Mapping) and isinstance(declared, Mapping):
            for key, transport in _WAYS_OUT.items():
                yield from _named(destination.get(key), known)
                yield from _of_transport(destination.get(key), key, transport, declared)


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


def _of_transport(node: Node | None, key: str, transport: str, declared: Mapping) -> Iterator[Problem]:
    """A spool behind a spool is found here, too: nothing would leave a circle of them."""
    found = declared.get(node.value) if isinstance(node, Text) else None
    if not isinstance(node, Text) or not isinstance(found, Mapping):
        return
    said = found.get("transport")
    round_trip = _round(node.value, declared)
    if round_trip:
        yield node.spot.problem(
            "circle",
            f"what is spooled would go round for ever: {' → '.join(round_trip)}",
            "Name a destination that is no spool: a Celery destination under `forward_to`, or a local one under `run`.",
        )
    elif isinstance(said, Text) and said.value != transport:
        fitting = [
            name
            for name, _, each in declared.items()
            if isinstance(each, Mapping) and _says(each, "transport", transport)
        ]
        yield node.spot.problem(
            "wrong-way-out",
            f"`{key}` takes a destination of transport {transport}, and {node.value!a} is of transport {said.value}",
            choose(node.value, fitting, what=f"Of transport {transport} are"),
        )
    elif key == "run" and _says(found, "loop", "caller"):
        yield node.spot.problem(
            "wrong-way-out",
            f"{node.value!a} runs calls on their callers' loops, and a spooled call has no caller any more",
            "Name a destination that has workers of its own.",
        )


def _round(start: str, declared: Mapping) -> list[str]:
    """The way from spool to spool that comes back to `start`; empty where there is none."""
    way = [start]
    while isinstance(each := declared.get(way[-1]), Mapping):
        onward = next((node for key in _WAYS_OUT if isinstance(node := each.get(key), Text)), None)
        if onward is None or not _says(each, "transport", "spool"):
            return []
        way.append(onward.value)
        if onward.value in way[:-1]:
            return way if onward.value == start else []
    return []


def _says(destination: Mapping, key: str, word: str) -> bool:
    said = destination.get(key)
    return isinstance(said, Text) and said.value == word


def _own_name(node: Node | None, names: dict[str, int]) -> Iterator[Problem]:
    line = taken(node, names)
    if node is not None and line is not None:
        yield node.spot.problem(
            "repeated-rule",
            f"the rule in line {line} has this name already",
            "Give each rule a name of its own; decisions and traces show it.",
        )


def taken(node: Node | None, names: dict[str, int]) -> int | None:
    """The line of the one that has this name already; `names` remembers it for those that come."""
    if not isinstance(node, Text):
        return None
    line = names.get(node.value)
    names.setdefault(node.value, node.spot.line)
    return line
