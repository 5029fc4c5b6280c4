"""What pydantic found, said with a place in the file and in the house's own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dispatch.errors import Problem
from dispatch.policy._destinations import BY_TRANSPORT, Breaker
from dispatch.policy._grammar import Defaults, Otherwise, PolicyFile, RuleSettings, TaskSettings
from dispatch.policy._match import Match
from dispatch.policy._mistake import Mistake, choose
from dispatch.policy._node import Broken, Listing, Mapping, Node, Spot, Text
from dispatch.policy._shape import Shape

_MISSING = {
    "version": "Write `version: 1`.",
    "destinations": "Name at least one, such as `fast: {transport: local}`.",
    "defaults": "Write `defaults: {durability: ephemeral}`, or durable.",
    "otherwise": "Say where the rest goes: `otherwise: {route_to: …}`.",
    "durability": "Write `durability: ephemeral` or `durability: durable`.",
    "name": "Give the rule a name of its own; decisions and traces show it.",
    "match": "Say which calls: `match: {durability: durable}`.",
    "route_to": "Name the destination: `route_to: …`.",
}
_A_MAPPING = ("a mapping", "Write its keys under it, each with a colon and a value.")
_EXPECTED = {
    "model_type": _A_MAPPING,
    "model_attributes_type": _A_MAPPING,
    "dict_type": _A_MAPPING,
    "tuple_type": ("a list", "Write a list, such as [one, two]."),
}
_ABOUT_KEY = ("extra_forbidden", "missing", "union_tag_not_found")

_MODELS: dict[str, type[Shape]] = {
    "destinations": Breaker,
    "defaults": Defaults,
    "tasks": TaskSettings,
    "rules": RuleSettings,
    "otherwise": Otherwise,
}


class Grammar(msgspec.Struct, frozen=True):
    """What there is to know about the keys of one kind of file."""

    model: Callable[[tuple[str | int, ...], Mapping | None], type[Shape]]
    """The model of the mapping at a path."""
    where: Callable[[tuple[str | int, ...]], str]
    """What that mapping is called in a message."""
    missing: dict[str, str]
    """The cure for each required key that is not there."""


def translate(error: ValidationError, root: Node, grammar: Grammar | None = None) -> Iterator[Problem]:
    """Each mistake once, at its place. What is broken was reported before and is left out.

    `grammar`: that of the file; without it, that of a policy.
    """
    for detail in error.errors(include_url=False, include_input=False):
        path = _path(detail["loc"])
        key, node, container = _find(root, path)
        if isinstance(node, Broken):
            continue
        if detail["type"] == "union_tag_invalid" and isinstance(node, Mapping):
            container, node = node, node.entries["transport"][1]
            path = (*path, "transport")
            if isinstance(node, Broken):
                continue
        mistake = _mistake(detail, path, node, container, grammar or _OF_A_POLICY)
        about_key = detail["type"] in _ABOUT_KEY or path[-1:] == ("[key]",)
        yield (key if about_key else node.spot).problem(mistake.code, mistake.message, mistake.cure)


def _path(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """`loc` without the tag by which pydantic told the kinds of destination apart."""
    path = tuple(loc)
    if path[:1] == ("destinations",) and len(path) > 2 and path[2] in BY_TRANSPORT:
        return path[:2] + path[3:]
    return path


def _find(root: Node, path: Sequence[str | int]) -> tuple[Spot, Node, Mapping | None]:
    """Where `path` leads: the key (or the item), what stands there, and the mapping that holds it.

    Where the path names a key that is missing, that is the mapping it is missing in, and the key of that mapping.
    """
    node, container, key = root, None, root.spot
    for step in path:
        if isinstance(node, Mapping) and step in node.entries:
            container = node
            key, node = node.entries[str(step)]
        elif isinstance(node, Listing) and isinstance(step, int):
            node = node.items[step]
            key = node.spot
        elif isinstance(node, Mapping):
            return key, node, node
    return key, node, container


def _mistake(
    detail: ErrorDetails, path: tuple[str | int, ...], node: Node, container: Mapping | None, grammar: Grammar
) -> Mistake:
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if isinstance(context.get("error"), Mistake):
        found: Mistake = context["error"]
        return found
    last = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return _unknown_key(last, path[:-1], container, grammar)
    if kind == "missing":
        return Mistake("missing-key", f"`{last}` is missing", grammar.missing.get(last, f"Add `{last}`."))
    if kind == "union_tag_not_found":
        *known, last = BY_TRANSPORT
        return Mistake(
            "missing-key", "`transport` is missing", f"Write `transport: {known[0]}`, {', '.join(known[1:])} or {last}."
        )
    words = context.get("expected", context.get("expected_tags"))
    if words is not None:
        return _bad_value(path, node, re.findall(r"'([^']*)'", words))
    expected, cure = _EXPECTED.get(kind, ("something else", "Look the key up in the guide to policies."))
    return Mistake("wrong-shape", f"{expected} is expected here, and this is {node.shape}", cure)


def _bad_value(path: tuple[str | int, ...], node: Node, known: Sequence[str]) -> Mistake:
    key = str(path[-1])
    if not isinstance(node, Text):
        cure = f"It takes: {', '.join(known)}."
        return Mistake("wrong-shape", f"a word is expected here, and this is {node.shape}", cure)
    return Mistake("bad-value", f"`{key}` cannot be {node.value!a}", choose(node.value, known, what="It takes"))


def _unknown_key(key: str, path: tuple[str | int, ...], container: Mapping | None, grammar: Grammar) -> Mistake:
    model = grammar.model(path, container)
    known = model.known_keys()
    if path[:1] == ("destinations",) and len(path) == 2:
        owners = [name for name, other in BY_TRANSPORT.items() if key in other.known_keys() and other is not model]
        if owners:
            return Mistake(
                "unknown-key",
                f"`{key}` has no effect on this destination: it belongs to transport {' and '.join(owners)}",
                choose(key, known, what="Remove it. This transport takes"),
            )
    return Mistake("unknown-key", f"{key!a} is no key of {grammar.where(path)}", choose(key, known, what="It takes"))


def _transport(container: Mapping | None) -> str:
    transport = container.get("transport") if container else None
    return transport.value if isinstance(transport, Text) else ""


def _where(path: tuple[str | int, ...]) -> str:
    if not path:
        return "a policy"
    if isinstance(path[-1], int):
        return "a rule" if len(path) == 2 else "a match"
    return f"`{path[-1]}`"


def _model(path: tuple[str | int, ...], container: Mapping | None) -> type[Shape]:
    """The model of the mapping at `path`."""
    if not path:
        return PolicyFile
    head, *rest = path
    if head == "destinations" and len(rest) == 1:
        return BY_TRANSPORT[_transport(container)]
    if head == "rules" and "match" in rest:
        return Match
    return _MODELS[str(head)]


_OF_A_POLICY = Grammar(_model, _where, _MISSING)
