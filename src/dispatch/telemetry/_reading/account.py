"""The two sides of each call, joined as they come, in any order and from any files, and counted."""

from __future__ import annotations

from itertools import chain
from math import inf, isnan

from dispatch.telemetry._reading.costs import Group
from dispatch.telemetry._reading.delays import actual_start
from dispatch.telemetry._reading.excerpt import HANDED, RAN, Excerpt, Handed, Ran, Route
from dispatch.telemetry._reading.wanted import Wanted

_UNWANTED = b""


class Account:
    """Keeps numbers by the way that calls went, and of a call only what waits for its other side."""

    def __init__(self, wanted: Wanted) -> None:
        self.groups: dict[Route, Group] = {}
        self.strangers = 0
        """Runs of calls that were not found."""
        self._wanted = wanted
        self._numbers: dict[Route, int] = {}
        self._ways: list[tuple[Route, Group | None]] = []
        """By number; without a group those that are not wanted."""
        self._handed: dict[str, bytes] = {}
        """Callers' sides whose first attempt has not come yet."""
        self._ran: dict[str, bytes] = {}
        """First attempts whose caller's side has not come yet."""
        self._again: dict[str, bytes] = {}
        """Of calls that were repeated, the last attempt so far."""
        self._failing: dict[str, tuple[Group, float] | None] = {}
        """Calls whose first attempt failed, and how long it ran; a later one may still end well. `None`: not wanted."""
        self._dead: set[str] = set()

    def add(self, excerpt: Excerpt) -> None:
        """Count what can be counted with this one."""
        call_id, route, handed, ran, is_dead = excerpt
        if is_dead:
            self._dead.add(call_id)
        if route is not None and handed is not None:
            packed = self._packed(route, handed)
            if ran is None and call_id in self._ran:
                ran = Ran._make(RAN.unpack(self._ran.pop(call_id)))
            if ran is not None or route.destination is None or not call_id:
                self._count(call_id, packed, ran)
            else:
                self._handed[call_id] = packed
        elif ran is not None:
            self._add_run(call_id, ran)

    def close(self) -> None:
        """Count what has waited in vain. Call it last, and once."""
        for call_id, packed in self._handed.items():
            last = self._again.pop(call_id, None)  # whose first attempt left no span
            group = self._count(call_id, packed, None if last is None else Ran._make(RAN.unpack(last)))
            if group is not None and last is None and call_id in self._dead:
                group.dead += 1
        for call_id, packed in chain(self._ran.items(), self._again.items()):
            if call_id in self._failing:
                self._end_again(call_id, Ran._make(RAN.unpack(packed)))
            else:
                self.strangers += 1
        for call_id, known in self._failing.items():
            if known is not None:
                group, run = known
                group.run.add(run)
                group.starts.failed += 1
                group.dead += call_id in self._dead

    def _packed(self, route: Route, handed: Handed) -> bytes:
        number = self._numbers.get(route)
        if number is None:
            number = self._numbers[route] = len(self._ways)
            group = Group() if self._wanted.has_route(route.destination, route.task, route.rule) else None
            self._ways.append((route, group))
        if self._ways[number][1] is None or handed.made_ns < (self._wanted.since_ns or 0):
            return _UNWANTED
        return HANDED.pack(number, *handed)

    def _add_run(self, call_id: str, ran: Ran) -> None:
        if ran.repeated:
            if call_id not in self._again or Ran._make(RAN.unpack(self._again[call_id])).span_ns < ran.span_ns:
                self._again[call_id] = RAN.pack(*ran)
        elif (packed := self._handed.pop(call_id, None)) is not None:
            self._count(call_id, packed, ran)
        else:
            self._ran[call_id] = RAN.pack(*ran)

    def _count(self, call_id: str, packed: bytes, ran: Ran | None) -> Group | None:
        """The call's group, unless it is not wanted."""
        if packed is _UNWANTED:
            if ran is not None and ran.failed:
                self._failing[call_id] = None
            return None
        number: int
        number, *sides = HANDED.unpack(packed)
        handed = Handed._make(sides)
        route, group = self._ways[number]
        failed = handed.failed or (ran is None and call_id in self._dead)
        if group is None or (self._wanted.errors and not (failed or (ran is not None and ran.failed))):
            return None
        self.groups[route] = group
        group.hand_over(handed)
        group.starts.add(
            failed=failed,
            start=None if ran is None else _actual_start(route, handed, ran),
            predicted=None if isnan(handed.predicted) else handed.predicted,
            budget=None if isnan(handed.budget) else handed.budget,
        )
        if ran is None:
            group.without_run += not failed
        else:
            group.begin(ran)
            if ran.failed and not failed:
                self._failing[call_id] = group, ran.run
            else:
                group.run.add(ran.run)
        return group

    def _end_again(self, call_id: str, ran: Ran) -> None:
        known = self._failing[call_id]
        if known is None:
            return
        if ran.failed:
            self._failing[call_id] = known[0], ran.run
        else:
            known[0].run.add(ran.run)
            self._failing[call_id] = None


def _actual_start(route: Route, handed: Handed, ran: Ran) -> float | None:
    if ran.skewed or isnan(ran.wait) or isnan(ran.start):
        return None
    return actual_start(
        transport=str(route.transport),
        decide=_or_zero(handed.decide),
        serialize=_or_zero(handed.serialize),
        enqueue=_or_zero(handed.enqueue),
        wait=ran.wait,
        start=ran.start,
        apart=inf if ran.span_ns == handed.span_ns else (ran.span_ns - handed.span_ns) / 1e3,
    )


def _or_zero(value: float) -> float:
    return 0.0 if isnan(value) else value
