"""What a policy says, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from dispatch._units import show_duration, show_size
from dispatch.cli._printing import aligned, print_line
from dispatch.cli._waterfall import plain
from dispatch.policy import READY, Policy

_SIZES = ("max_bytes", "max_payload", "compress_over", "claim_check_over")


def as_json(policy: Policy) -> dict[str, Any]:
    """The policy in plain types. Durations are nanoseconds and say so, sizes are bytes; a `match` is as written."""
    return {
        "version": policy.version,
        "sources": policy.sources,
        "destinations": {name: _said(settings) for name, settings in policy.destinations.items()},
        "defaults": _said(policy.defaults),
        "tasks": {pattern: _said(settings) for pattern, settings in policy.tasks.items()},
        "rules": [{"name": rule.name, **_said(rule)} for rule in policy.rules],
        "otherwise": _said(policy.otherwise),
    }


def print_outline(policy: Policy, origin: str, console: Console) -> None:
    """Destinations, what is known about tasks, and the rules in the order in which they are asked."""
    named = " + ".join(f"{each} (ready policy)" if each in READY else each for each in policy.sources)
    counts = f"{_so_many(len(policy.destinations), 'destination')}, {_so_many(len(policy.rules), 'rule')}"
    print_line(console, (plain(named), "bold"), " is ", ("fine", "green"), f": {counts}, version {policy.version}")
    if origin:
        print_line(console, (f"in force here: {origin}", "dim"))
    destinations = [[name, _words(settings)] for name, settings in policy.destinations.items()]
    _section(console, "destinations", destinations)
    tasks = [[pattern, _words(settings)] for pattern, settings in policy.tasks.items()]
    _section(console, "defaults and tasks", [["*", _words(policy.defaults)], *tasks])
    rules = [[rule.name, _flow(_said(rule.match))[1:-1], _route(rule.targets)] for rule in policy.rules]
    _section(console, "rules", [*rules, ["otherwise", "", _route(policy.otherwise.targets)]])


def _section(console: Console, title: str, rows: Sequence[Sequence[str]]) -> None:
    print_line(console, (title, "bold"))
    for line in aligned(rows):
        print_line(console, f"  {plain(line)}")


def _said(model: BaseModel) -> dict[str, Any]:
    """What the file says, and nothing that it left to a default."""
    fields = type(model).model_fields
    said = {name: getattr(model, name) for name in fields if name in model.model_fields_set}
    # `all_` is written `all`, but what is counted in nanoseconds must go on saying so.
    return {name if name.endswith("_ns") else fields[name].alias or name: _plain(said[name]) for name in said}


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return _said(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return getattr(value, "text", value)  # an interval: `> 1MiB`


def _words(model: BaseModel) -> str:
    """`local, workers 8, block_timeout 1 s`."""
    said = _said(model)
    words = [str(said.pop("transport"))] if "transport" in said else []
    return ", ".join([*words, *(f"{name.removesuffix('_ns')} {_amount(name, said[name])}" for name in said)])


def _amount(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith("_ns"):
        return show_duration(value)
    return show_size(value) if isinstance(value, int) and name in _SIZES else _flow(value)


def _flow(value: object) -> str:
    """As YAML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list) else str(value)


def _route(targets: Sequence[str]) -> str:
    return "→ " + ", then ".join(targets)


def _so_many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
