"""In which order the fit candidates of a route are offered a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dispatch._units import show_duration
from dispatch.errors import PassedOver
from dispatch.policy._estimate import Estimate
from dispatch.policy._place import Place
from dispatch.policy._route import Candidate, Route


def rank(route: Route, size: Estimate) -> Iterator[Candidate | PassedOver]:
    """The candidates, best first, each asked for its fitness now; what is passed over comes before whoever is not.

    Without a budget the rule's order is the ranking, and nobody is asked before it is their turn. With one, those
    predicted to start within it come first, in the rule's order; then the others, the earliest first.
    """
    if route.latency_budget_ns is not None:
        yield from _by_budget(route, size, route.latency_budget_ns)
        return
    for entry in route.entries:
        if isinstance(entry, PassedOver):
            yield entry
        else:
            yield entry.unfit(route.durability) or Candidate(place=entry, payload=size)


@dataclass(frozen=True, slots=True)
class _Timed:
    """A fit destination and its prediction."""

    turn: int
    """Its place in the rule's order."""
    place: Place
    start_ns: int
    late: bool

    @property
    def haste(self) -> tuple[bool, int]:
        # A spool never competes on time: whatever it predicts, it comes last.
        return (self.place.transport == "spool", self.start_ns)

    def passed_over(self, budget: int) -> PassedOver:
        detail = f"it would start in {show_duration(self.start_ns)}, and the budget is {show_duration(budget)}"
        return PassedOver(self.place.name, "over_budget", detail)


def _by_budget(route: Route, size: Estimate, budget: int) -> Iterator[Candidate | PassedOver]:
    passed: list[tuple[int, PassedOver]] = []
    fit: list[_Timed] = []
    for turn, entry in enumerate(route.entries):
        if isinstance(entry, PassedOver):
            passed.append((turn, entry))
            continue
        unfit = entry.unfit(route.durability)
        if unfit is not None:
            passed.append((turn, unfit))
            continue
        timed = _timed(turn, entry, budget)
        if timed.late and route.rejects:
            passed.append((turn, timed.passed_over(budget)))
        else:
            fit.append(timed)
    in_time = [each for each in fit if not each.late]
    ranked = in_time + sorted((each for each in fit if each.late), key=lambda each: each.haste)
    for position, timed in enumerate(ranked):
        yield from (said for turn, said in passed if turn < timed.turn)
        passed = [(turn, said) for turn, said in passed if turn > timed.turn]
        behind = [each for each in ranked[position + 1 :] if each.turn < timed.turn]
        yield Candidate(
            place=timed.place,
            payload=size,
            predicted_start_ns=timed.start_ns,
            over_budget=timed.late,
            outranked=tuple(each.passed_over(budget) for each in behind),
        )
    yield from (said for _, said in passed)


def _timed(turn: int, place: Place, budget: int) -> _Timed:
    start = place.predicted_start_ns()
    return _Timed(turn, place, start, late=start > budget or place.transport == "spool")
