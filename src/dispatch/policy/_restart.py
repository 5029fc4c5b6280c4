"""What a reload cannot change: the workers that live already, and the kind of way that leads to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dispatch.errors import Problem
from dispatch.policy._destinations import DestinationSettings, LocalSettings
from dispatch.policy._node import Mapping as Said
from dispatch.policy._node import Spot
from dispatch.policy._policy import Policy
from dispatch.policy._ready import READY, ready

_FOR_LIFE = ("transport", "runner", "loop", "workers", "forward_to", "run")
"""Where they differ, it would be another destination under the same name."""

_CURE = "Restart the process to have it so, take it back, or give the destination a new name beside the old one."


def needs_restart(living: Mapping[str, DestinationSettings], policy: Policy) -> Iterator[Problem]:
    """Everything in `policy` that the `living` destinations of the same names cannot become."""
    for name, said in policy.destinations.items():
        before = living.get(name)
        if before is None:
            continue
        for key in _FOR_LIFE:
            was, becomes = getattr(before, key, None), getattr(said, key, None)
            if was != becomes and (key == "transport" or before.transport == said.transport):
                yield _problem(policy, name, key, f"it is {_shown(was)}, and would be {_shown(becomes)}")
        if isinstance(before, LocalSettings) and isinstance(said, LocalSettings):
            was, becomes = before.capacity, said.capacity
            if was != becomes and 0 in (was, becomes):
                how = f"it is {was}, and would be {becomes}: another kind of channel"
                yield _problem(policy, name, "capacity", how)


def _shown(value: object) -> str:
    return "not said" if value is None else str(value)


def _problem(policy: Policy, name: str, key: str, how: str) -> Problem:
    message = f"`{key}` of {name!a} cannot change without a restart: {how}"
    return _spot(policy.sources, name, key).problem("needs-restart", message, _CURE)


def _spot(sources: tuple[str, ...], name: str, key: str) -> Spot:
    """Where the last file that speaks of it says it, or where it speaks of the destination."""
    found = [each for source in reversed(sources) if (each := _destination(source, name)) is not None]
    keys = [node.entries[key][0] for _, node in found if key in node.entries]
    return (*keys, *(spot for spot, _ in found), Spot(sources[-1], 1, 1, name))[0]


def _destination(source: str, name: str) -> tuple[Spot, Said] | None:
    from dispatch.policy._composer import compose  # noqa: PLC0415 - PyYAML is wanted where a policy is read

    path = ready(source) if source in READY else Path(source)
    try:
        root, _ = compose(path.read_text("utf-8-sig"), source)
    except (OSError, ValueError):  # it was there a moment ago
        return None
    destinations = root.get("destinations") if isinstance(root, Said) else None
    if not isinstance(destinations, Said) or name not in destinations.entries:
        return None
    spot, node = destinations.entries[name]
    return (spot, node) if isinstance(node, Said) else None
