"""What is measured, and what it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, TypeAlias

Unit: TypeAlias = Literal["s", "bytes", "modules", "syncs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the first table. The less, the better."""

    name: str
    count: int
    take: Callable[[int], float]
    """Does it `count` times, and says what all of that took, in `unit`."""
    unit: Unit = "s"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A case that cannot be measured here."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The most that one of a case may take: as a share of one of another case, or without one in its own unit."""

    case: str
    at_most: float
    against: str | None = None

    def reached(self, best: Mapping[str, float]) -> float | None:
        """What was reached, of the best figure for each case; `None` when one of the two was not measured."""
        if self.case not in best or (self.against is not None and self.against not in best):
            return None
        return best[self.case] / (1 if self.against is None else best[self.against])


def sending(send: Callable[[int], Any], read: Callable[[Any], object]) -> Callable[[int], float]:
    """Times `send(count)`, and reads what was sent when the clock has stopped."""

    def take(count: int) -> float:
        began = perf_counter()
        sent = send(count)
        took = perf_counter() - began
        read(sent)
        return took

    return take


def to_result(send: Callable[[int], Any], read: Callable[[Any], object]) -> Callable[[int], float]:
    """Times `send(count)` until all that was sent has been read."""

    def take(count: int) -> float:
        began = perf_counter()
        sent = send(count)
        read(sent)
        took = perf_counter() - began
        del sent  # forgetting it is not part of it
        return took

    return take


def results(handles: Iterable[Any]) -> None:
    for handle in handles:
        handle.result(timeout=60)
