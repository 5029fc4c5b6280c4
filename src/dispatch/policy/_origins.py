"""A policy laid out whole: what all of its files and the defaults come to, and where each value was said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from dispatch.errors import PolicyError, Problem
from dispatch.policy import _node as node
from dispatch.policy._destinations import BY_TRANSPORT, Breaker
from dispatch.policy._grammar import Defaults, Otherwise, RuleSettings, TaskSettings
from dispatch.policy._overlay import overlay
from dispatch.policy._shape import Shape
from dispatch.policy._source import read, root_of
from dispatch.policy._written import written

UNSAID: Mapping[str, Mapping[str, str]] = {
    "celery": {"lease": "30s", "remember": "1d", "max_deliveries": "5"},
    "spool": {"max_bytes": "1GiB"},
}
"""By transport: what holds where a destination does not say, and its transport has a word for it."""

_UP_TO_OTHERS: Mapping[str, Mapping[str, str]] = {
    "local": {"workers": "as many as suit the machine"},
    "celery": {
        "queue": "the Celery app's own",
        "breaker": "what another destination says, else {failures: 5, open_for: 5s, max_open: 1m}",
    },
}
"""The same, where it is no word that could stand in the file."""

_PLAIN = re.compile(r"[A-Za-z0-9_][\w./+-]*", re.ASCII)
_RULE = ("name", "match", "route_to", "fallback")
"""The order in which one reads a rule, however it was written."""


class Line(msgspec.Struct, frozen=True):
    """One line of the policy. Together they are a policy file that says everything itself."""

    text: str
    path: tuple[str | int, ...] = ()
    """The keys that lead to its value, and the numbers of rules, counted from 0."""
    value: str | None = None
    """As it stands in the line; `None`: its values are on the lines below."""
    spot: node.Spot | None = None
    """Where that was said; `None`, where there is a value: nowhere, it is the default."""


def laid_out(sources: Sequence[str]) -> list[Line]:
    """The policy in these files, of which `load` finds nothing to say. Raises `PolicyError` as it does."""
    problems: list[Problem] = []
    merged: node.Mapping | None = None
    for source in sources:
        text = read(source, problems)
        root = None if text is None else root_of(text, source, problems)
        if root is not None:
            merged = root if merged is None else overlay(merged, root)[0]
    if problems or merged is None:
        raise PolicyError(problems)
    return list(_policy(merged))


def _policy(root: node.Mapping) -> Iterator[Line]:
    yield from _said(root, "version", (), 0)
    for section, named in (("destinations", True), ("defaults", False), ("tasks", True)):
        mapping = root.get(section)
        if not isinstance(mapping, node.Mapping) or not mapping.entries:
            continue
        yield Line(f"{section}:")
        if not named:
            yield from _keys(mapping, Defaults, (section,), 1)
        for name, _, each in mapping.items() if named else ():
            if isinstance(each, node.Mapping):
                yield _header(name, 1, empty=not each.entries)
                model = TaskSettings if section == "tasks" else BY_TRANSPORT[_word(each, "transport")]
                yield from _keys(each, model, (section, name), 2)
    yield from _rules(root.get("rules"))
    otherwise = root.get("otherwise")
    if isinstance(otherwise, node.Mapping):
        yield Line("otherwise:")
        yield from _keys(otherwise, Otherwise, ("otherwise",), 1)


def _rules(rules: node.Node | None) -> Iterator[Line]:
    listed = [each for each in rules.items if isinstance(each, node.Mapping)] if isinstance(rules, node.Listing) else []
    if listed:
        yield Line("rules:")
    for number, rule in enumerate(listed):
        ordered = {key: rule.entries[key] for key in _RULE if key in rule.entries}
        first, *rest = _keys(node.Mapping(rule.spot, ordered | rule.entries), RuleSettings, ("rules", number), 2)
        yield msgspec.structs.replace(first, text=f"  - {first.text.strip()}")
        yield from rest


def _header(name: str, depth: int, *, empty: bool = False) -> Line:
    return Line("  " * depth + f"{_scalar(name)}:" + (" {}" if empty else ""))


def _keys(mapping: node.Mapping, model: type[Shape], path: tuple[str | int, ...], depth: int) -> Iterator[Line]:
    """What is said, as it is written; then the defaults of all that is not."""
    for key in mapping.entries:
        yield from _said(mapping, key, path, depth)
    yield from _defaults(mapping, model, path, depth)


def _said(mapping: node.Mapping, key: str, path: tuple[str | int, ...], depth: int) -> Iterator[Line]:
    spot, value = mapping.entries[key]
    if key == "breaker" and isinstance(value, node.Mapping):
        # The one mapping in a destination: an overlay may have changed a single key of it.
        yield _header(key, depth)
        yield from _keys(value, Breaker, (*path, key), depth + 1)
        return
    yield _line((*path, key), _flow(value), depth, spot)


def _defaults(mapping: node.Mapping, model: type[Shape], path: tuple[str | int, ...], depth: int) -> Iterator[Line]:
    transport = _word(mapping, "transport")
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in mapping.entries or (key == "loop" and _word(mapping, "runner") != "asyncio"):
            continue  # said, or without effect
        default = UNSAID.get(transport, {}).get(key) or written(name, field.default)
        if default not in (None, []):
            yield _line((*path, key), str(default), depth, None)
        elif key in _UP_TO_OTHERS.get(transport, {}):
            yield Line("  " * depth + f"# {key}: {_UP_TO_OTHERS[transport][key]}")


def _line(path: tuple[str | int, ...], value: str, depth: int, spot: node.Spot | None) -> Line:
    return Line("  " * depth + f"{_scalar(str(path[-1]))}: {value}", path, value, spot)


def _word(mapping: node.Mapping, key: str) -> str:
    said = mapping.get(key)
    return said.value if isinstance(said, node.Text) else ""


def _flow(value: node.Node) -> str:
    if isinstance(value, node.Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(each)}" for key, _, each in value.items()) + "}"
    if isinstance(value, node.Listing):
        return "[" + ", ".join(map(_flow, value.items)) + "]"
    return _scalar(value.value) if isinstance(value, node.Text) else ""


def _scalar(text: str) -> str:
    """In quotes where YAML would read something else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
