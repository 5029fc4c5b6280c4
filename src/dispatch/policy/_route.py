"""Where the calls of one task and one range of sizes go: a rule, and its candidates in order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dispatch._decision import Decision, Reason, Transport
from dispatch._requirements import Durability
from dispatch.errors import PassedOver
from dispatch.policy._bench import Entry
from dispatch.policy._estimate import Estimate
from dispatch.policy._place import Place


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A destination that is fit, at its place in the ranking."""

    place: Place
    payload: Estimate = None
    predicted_start_ns: int | None = None
    """Known when a latency budget ranked the candidates."""
    over_budget: bool = False
    outranked: tuple[PassedOver, ...] = ()
    """What the rule names before it and the budget ranks behind it."""

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def transport(self) -> Transport:
        return self.place.transport


class Route:
    """What a plan answers, shared by all calls that it holds for. Immutable, but for `late`."""

    __slots__ = (
        "_ahead",
        "_substitute",
        "decision",
        "durability",
        "entries",
        "first",
        "late",
        "latency_budget_ns",
        "passed_over",
        "places",
        "policy_version",
        "reason",
        "rejects",
        "rule",
        "second",
    )

    def __init__(
        self,
        *,
        rule: str,
        reason: Reason,
        entries: Sequence[Entry],
        durability: Durability,
        latency_budget_ns: int | None,
        rejects: bool,
        policy_version: str,
        nominal: Place,
    ) -> None:
        self.rule = rule
        self.reason: Reason = reason
        self.entries = tuple(entries)
        self.durability: Durability = durability
        self.latency_budget_ns = latency_budget_ns
        self.rejects = rejects
        """Whether a call that no candidate can start within its budget is refused."""
        self.policy_version = policy_version
        self.places = tuple(entry for entry in self.entries if not isinstance(entry, PassedOver))
        """Who may get the call."""
        self.passed_over = tuple(entry for entry in self.entries if isinstance(entry, PassedOver))
        """Who never gets it, and why."""
        self.late: frozenset[str] = frozenset()
        """Who was last predicted to miss the budget, and is not well within it again; kept by `rank`."""
        self.first = self._sure(0)
        """The destination that gets the call without being asked anything; `None`: ask for the candidates."""
        self.second = self._sure(1) if self.first is None else None
        """The one that gets it in the same way while the only one before it is unfit; `None`: as above."""
        self._ahead = self.places[0] if self.places else None
        self._substitute: tuple[PassedOver, Decision] | None = None
        ahead = self.entries.index(self.first) if self.first is not None else 0
        self.decision = self._decision(self.first or nominal, self.passed_over[:ahead])
        """For `first`; without it, what the rule names first, until a candidate has the call."""

    def decision_for(
        self, candidate: Candidate, passed_over: Sequence[PassedOver], *, decide_ns: int | None = None
    ) -> Decision:
        """The decision for `candidate`, after `passed_over` did not get the call."""
        return msgspec.structs.replace(
            self._decision(candidate.place, (*passed_over, *candidate.outranked)),
            over_budget=candidate.over_budget,
            predicted_start_ns=candidate.predicted_start_ns,
            payload_bytes=None if candidate.payload is None else int(candidate.payload),
            decide_ns=decide_ns,
        )

    def for_second(self) -> Decision | None:
        """The decision for `second`, the same one as long as the reason is; `None`: the one before it is fit.

        Where a broker is left alone, every call comes this way, and is to cost what a local call costs.
        """
        passed = self._ahead.unfit(self.durability) if self._ahead is not None else None
        if passed is None or self.second is None:
            return None
        known = self._substitute
        if known is None or known[0] is not passed:
            before = self.entries[: self.entries.index(self.second)]
            reasons = [entry if isinstance(entry, PassedOver) else passed for entry in before]
            known = self._substitute = (passed, self._decision(self.second, reasons))
        return known[1]

    def _sure(self, turn: int) -> Place | None:
        if self.latency_budget_ns is not None or self.durability != "ephemeral" or len(self.places) <= turn:
            return None
        return self.places[turn] if self.places[turn].always_fit else None

    def _decision(self, place: Place, passed_over: Sequence[PassedOver]) -> Decision:
        return Decision(
            destination=place.name,
            transport=place.transport,
            rule=self.rule,
            reason=self.reason,
            policy_version=self.policy_version,
            durability=self.durability,
            latency_budget_ns=self.latency_budget_ns,
            passed_over=tuple(passed_over),
        )

    def __repr__(self) -> str:
        return f"<Route {self.rule} | {' → '.join(place.name for place in self.places) or 'nowhere'}>"
