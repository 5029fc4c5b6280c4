"""What the grammar has and this version does not do yet: refused, never accepted and ignored.

Each entry goes when the thing exists; nothing else needs to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispatch.errors import Problem
from dispatch.policy._node import Mapping, Text

_KEYS: dict[tuple[str, str], str] = {
    ("celery", "require"): "Until then remove it, and see to the broker's own settings.",
}


def available(transport: str, known: Sequence[str]) -> list[str]:
    """Of the keys of a destination, those that do something already."""
    return [each for each in known if (transport, each) not in _KEYS]


def not_yet(root: Mapping) -> Iterator[Problem]:
    """Every use of what comes later, at its place."""
    destinations = root.get("destinations")
    for _, _, destination in destinations.items() if isinstance(destinations, Mapping) else ():
        transport = destination.get("transport") if isinstance(destination, Mapping) else None
        if isinstance(destination, Mapping) and isinstance(transport, Text):
            yield from _in(destination, transport.value)


def _in(destination: Mapping, transport: str) -> Iterator[Problem]:
    for key, spot, _ in destination.items():
        cure = _KEYS.get((transport, key))
        if cure is not None:
            yield spot.problem("not-available", f"`{key}` comes with a later version of dispatch", cure)
