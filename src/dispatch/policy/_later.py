"""What the grammar has and this version does not do yet: refused, never accepted and ignored.

Each entry goes when the thing exists; nothing else needs to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispatch.errors import Problem
from dispatch.policy._node import Mapping, Text

_VALUES: dict[tuple[str, str, str], str] = {}
_KEYS: dict[tuple[str, str], str] = {
    ("celery", "require"): "Until then remove it, and see to the broker's own settings.",
}


def available(transport: str, known: Sequence[str], *, key: str | None = None) -> list[str]:
    """Of the keys of a destination, or of the words that its `key` takes, those that do something already."""
    if key is None:
        return [each for each in known if (transport, each) not in _KEYS]
    if key == "transport":
        return [each for each in known if (each, key, each) not in _VALUES]
    return [each for each in known if (transport, key, each) not in _VALUES]


def not_yet(root: Mapping) -> Iterator[Problem]:
    """Every use of what comes later, at its place."""
    destinations = root.get("destinations")
    for _, _, destination in destinations.items() if isinstance(destinations, Mapping) else ():
        transport = destination.get("transport") if isinstance(destination, Mapping) else None
        if isinstance(destination, Mapping) and isinstance(transport, Text):
            yield from _in(destination, transport.value)


def _in(destination: Mapping, transport: str) -> Iterator[Problem]:
    for key, spot, value in destination.items():
        said = value.value if isinstance(value, Text) else ""
        for cure, where, what in (
            (_KEYS.get((transport, key)), spot, f"`{key}`"),
            (_VALUES.get((transport, key, said)), value.spot, f"`{key}: {said}`"),
        ):
            if cure is not None:
                yield where.problem("not-available", f"{what} comes with a later version of dispatch", cure)
