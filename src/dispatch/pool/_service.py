"""How long a pool's slot is taken by one item: a running mean, and what the items in hand tell already."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

T = TypeVar("T")

SMOOTHING = 8
"""A running mean moves an eighth of the way to each new reading, as TCP's round-trip time does (RFC 6298): the last
two dozen items count."""

SERVICE_NS = 1_000_000
"""Prior: what an item takes until one has been run."""


def unknown(_item: object) -> int:
    """Nobody knows since when it is in hand."""
    return 0


def lasting(mean: float, item: T | None, since: Callable[[T], int], now: int) -> float:
    """What a slot that usually takes `mean` takes with this `item` in hand; nanoseconds, as all here.

    What has lasted longer than usual is taken to last so long again: nothing else is known of it.
    """
    began = 0 if item is None else since(item)
    return max(1.0, mean, now - began if began else 0)


def together(each: Collection[float]) -> float:
    """What one item takes, on the average of slots that take `each`.

    The harmonic mean, since slots add up by what they do in a second: one that is held does not make the others slow.
    """
    return len(each) / sum(1 / one for one in each) if each else float(SERVICE_NS)
