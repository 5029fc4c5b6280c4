"""A task bound to a policy: everything that is known before a call is settled, and only the rest is asked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from sys import maxsize
from typing import Any

import msgspec

from dispatch._decision import Decision
from dispatch._registry import TaskSpec
from dispatch.errors import PassedOver
from dispatch.policy._bench import Bench
from dispatch.policy._estimate import AtLeast, Estimate, estimate
from dispatch.policy._explanation import Asked, Explanation, Weighed
from dispatch.policy._facts import Facts
from dispatch.policy._place import Place
from dispatch.policy._ranking import rank
from dispatch.policy._route import Candidate, Route
from dispatch.policy._rule import Rule

_UNKNOWN = -1


class Plan:
    """Decides the calls of one task.

    All that can still vary between two calls is the payload and the state of the destinations. The sizes at which
    a rule or a limit may answer differently (`cuts`) divide all payloads into ranges; within one, every call has
    the same route, which is made at the first call that needs it. Safe from any thread: a route that two threads
    make at once is the same route.
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        facts: Facts,
        rules: tuple[Rule, ...],
        bench: Bench,
        policy_version: str,
        sources: tuple[str, ...],
    ) -> None:
        self.spec = spec
        self.durability = facts.durability
        self.latency_budget_ns = facts.latency_budget_ns
        self._facts = facts
        self._rules = rules
        self._bench = bench
        self._policy_version = policy_version
        self._sources = sources
        self._open = self._still_open()
        self._cuts = sorted(bench.cuts(self._open).union(*(rule.cuts for rule in self._open[:-1])))
        self._routes: dict[int, Route] = {}
        self.measure: Callable[[tuple[Any, ...], dict[str, Any]], Estimate] = partial(
            estimate, self._cuts[-1] if self._cuts else maxsize
        )
        """The size of a call's arguments, counted up to the largest size that makes a difference."""
        self.only: Route | None = None if self._cuts else self.route(None)
        """The one route of all calls; `None` when the payload decides."""

    @property
    def asks_payload(self) -> bool:
        """Whether any answer depends on the payload: only then is it worth measuring."""
        return self.only is None

    def route(self, size: Estimate) -> Route:
        """The route of a call whose payload measures `size`."""
        if size is None:
            key = _UNKNOWN
        else:
            key = bisect_right(self._cuts, size)
            if type(size) is AtLeast:
                key = -2 - key
        return self._routes.get(key) or self._settle(key, size)

    def candidates(self, route: Route, size: Estimate) -> Iterator[Candidate | PassedOver]:
        """Whom to offer the call to, best first, each asked for its fitness when it is its turn.

        Destinations that cannot have it come as `PassedOver`, each before whoever stands behind it in the rule,
        those in `route.passed_over` included.
        """
        return rank(route, size, self.spec)

    def explain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
        """The decision that this call would get now, asked of the same rules and destinations, to the last one.

        The arguments are encoded for each candidate that needs it, and nothing is sent.
        """
        size = self.measure(args, kwargs) if self.asks_payload else None
        facts = self._facts_of(size) if self.asks_payload else self._facts
        rule = _first(self._rules, facts)
        route = self.route(size)
        decision, weighed = self._weigh(route, size, args, kwargs)
        return Explanation(
            task=self.spec.name,
            policy_version=self._policy_version,
            sources=self._sources,
            durability=self.durability,
            latency_budget_ns=self.latency_budget_ns,
            payload=size,
            payload_asked=self.asks_payload,
            pin=self._bench.words(rule),
            rules=tuple(self._asked(facts, rule)),
            candidates=weighed,
            decision=decision,
        )

    @property
    def cuts(self) -> list[int]:
        """The sizes at which the route may change."""
        return [*self._cuts]

    # ---- within

    def _still_open(self) -> tuple[Rule, ...]:
        """The rules that may choose a call of this task, up to the first that surely does."""
        left = []
        for rule in self._rules:
            answer = rule.holds(self._facts)
            if answer is not False:
                left.append(rule)
            if answer is True:
                break
        return tuple(left)

    def _settle(self, key: int, size: Estimate) -> Route:
        rule = _first(self._open, self._facts_of(size))
        route = self._routes[key] = Route(
            rule=rule.name,
            reason="pinned" if self._bench.pinned else rule.reason,
            entries=self._bench.entries(rule, size),
            durability=self.durability,
            latency_budget_ns=self.latency_budget_ns,
            rejects=rule.rejects and self.durability == "ephemeral",
            policy_version=self._policy_version,
            nominal=self._bench.nominal(rule),
        )
        return route

    def _facts_of(self, size: Estimate) -> Facts:
        return msgspec.structs.replace(self._facts, payload=size)

    def _asked(self, facts: Facts, chosen: Rule) -> Iterator[Asked]:
        for rule in self._rules:
            yield Asked(rule.name, rule is chosen, rule.words(facts))
            if rule is chosen:
                return

    def _weigh(
        self, route: Route, size: Estimate, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Decision | None, tuple[Weighed, ...]]:
        """What a hand-over would do up to the encoding, and then on to the last candidate."""
        decision: Decision | None = None
        passed: list[PassedOver] = []
        weighed: dict[str, Weighed] = {}
        for each in rank(route, size, self.spec, looking=True):
            refused = each if isinstance(each, PassedOver) else each.place.refuses(self.spec, args, kwargs)
            chosen = decision is None and refused is None
            if refused is not None:
                passed.append(refused)
            elif decision is None and isinstance(each, Candidate):
                decision = route.decision_for(each, passed)
            name = each.destination if isinstance(each, PassedOver) else each.name
            weighed[name] = self._weighed(self._bench.place(name), each, refused, chosen=chosen)
        outranked = decision.passed_over if decision is not None else ()
        for why in outranked:
            # What the budget ranked behind the chosen one is fit, and yet was passed over.
            weighed[why.destination] = msgspec.structs.replace(weighed[why.destination], passed_over=why)
        return decision, tuple(weighed[name] for name in _names(route))

    def _weighed(
        self, place: Place, each: Candidate | PassedOver, refused: PassedOver | None, *, chosen: bool
    ) -> Weighed:
        if isinstance(each, Candidate):
            predicted, late = each.predicted_start_ns, each.over_budget
        else:
            predicted, late = None, each.why == "over_budget"
        return Weighed(
            place.name,
            place.transport,
            chosen=chosen,
            passed_over=refused,
            predicted_start_ns=predicted,
            over_budget=late,
            figures=place.figures(self.spec),
        )

    def __repr__(self) -> str:
        asks = f"payload at {len(self._cuts)} sizes" if self._cuts else "nothing"
        return f"<Plan {self.spec.name} | {self.durability} | asks {asks}>"


def _first(rules: tuple[Rule, ...], facts: Facts) -> Rule:
    """The first that holds; the last one always does."""
    return next(rule for rule in rules if rule.holds(facts))


def _names(route: Route) -> list[str]:
    return [entry.destination if isinstance(entry, PassedOver) else entry.name for entry in route.entries]
