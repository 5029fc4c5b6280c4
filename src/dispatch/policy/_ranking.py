"""In which order the fit candidates of a route are offered a call."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dispatch._registry import TaskSpec
from dispatch._units import show_duration
from dispatch.errors import PassedOver
from dispatch.policy._estimate import Estimate
from dispatch.policy._place import Place
from dispatch.policy._route import Candidate, Route

MARGIN = 4
"""Who was late has to be a quarter of the budget early before it comes first again: a Schmitt trigger, so that a
prediction that swings about the budget does not send every other call elsewhere."""


def rank(route: Route, size: Estimate, spec: TaskSpec, *, looking: bool = False) -> Iterator[Candidate | PassedOver]:
    """The candidates, best first, each asked for its fitness now; what is passed over comes before whoever is not.

    Without a budget the rule's order is the ranking, and nobody is asked before it is their turn. With one, those
    predicted to start within it come first, in the rule's order; then those that were late and are not yet well
    within it; then those that are late, the earliest first. `looking`: what is found is not remembered.
    """
    if route.latency_budget_ns is not None:
        yield from _by_budget(route, size, spec, route.latency_budget_ns, looking=looking)
        return
    for entry in route.entries:
        if isinstance(entry, PassedOver):
            yield entry
        else:
            yield entry.unfit(route.durability) or Candidate(place=entry, payload=size)


class _Timed(msgspec.Struct, frozen=True):
    """A fit destination and its prediction."""

    turn: int
    """Its place in the rule's order."""
    place: Place
    start_ns: int
    late: bool
    doubtful: bool
    """It was late, and has not been well within the budget since."""

    @property
    def rank(self) -> tuple[bool, bool, bool, int]:
        # A spool never competes on time: whatever it predicts, it comes last.
        return (self.place.transport == "spool", self.late, self.doubtful, self.start_ns if self.late else self.turn)

    def passed_over(self, budget: int) -> PassedOver:
        detail = f"it would start in {show_duration(self.start_ns)}, and the budget is {show_duration(budget)}"
        if not self.late:
            detail += f"; it was late before, and comes first again below {show_duration(budget - budget // MARGIN)}"
        return PassedOver(self.place.name, "over_budget", detail)


def _by_budget(
    route: Route, size: Estimate, spec: TaskSpec, budget: int, *, looking: bool
) -> Iterator[Candidate | PassedOver]:
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
        fit.append(_timed(turn, entry, spec, budget, was_late=entry.name in route.late))
    if not looking:
        _remember(route, fit)
    if route.rejects:
        passed += [(each.turn, each.passed_over(budget)) for each in fit if each.late]
        passed.sort(key=lambda each: each[0])
        fit = [each for each in fit if not each.late]
    ranked = sorted(fit, key=lambda each: each.rank)
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


def _timed(turn: int, place: Place, spec: TaskSpec, budget: int, *, was_late: bool) -> _Timed:
    start = place.predicted_start_ns(spec)
    late = start > budget or place.transport == "spool"
    doubtful = late or (was_late and start > budget - budget // MARGIN)
    return _Timed(turn, place, start, late=late, doubtful=doubtful)


def _remember(route: Route, fit: list[_Timed]) -> None:
    """Who is doubtful from now on; who was not fit just now stays what it was."""
    late = {each.place.name for each in fit if each.doubtful}
    asked = {each.place.name for each in fit}
    if route.late & asked != late:
        # One store of a whole: of two threads that rank at once, the later one is remembered.
        route.late = (route.late - asked) | late
