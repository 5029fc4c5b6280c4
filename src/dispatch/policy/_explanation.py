"""Why a call goes where it goes: a value first, text second."""

from __future__ import annotations

from typing import Any

import msgspec

from dispatch._decision import Decision, Transport
from dispatch._requirements import Durability
from dispatch._units import show_duration, show_size
from dispatch.errors import PassedOver
from dispatch.policy._estimate import AtLeast, Estimate


class Asked(msgspec.Struct, frozen=True):
    """One rule, in the order in which rules are asked."""

    rule: str
    matched: bool
    words: str
    """Why it matched, or why not, with the fact."""

    def __str__(self) -> str:
        return f"{'✓' if self.matched else '✗'} {self.rule}: {self.words}"


class Weighed(msgspec.Struct, frozen=True):
    """One candidate, in the order in which the rule names them."""

    destination: str
    transport: Transport
    chosen: bool
    passed_over: PassedOver | None
    """Why it does not get the call; `None` for the chosen one and for those that would be next."""
    predicted_start_ns: int | None = None
    over_budget: bool = False
    figures: dict[str, int] = {}
    """What the destination predicts by, at this moment; a name that ends in `_ns` is a duration."""

    @property
    def words(self) -> str:
        if self.passed_over is not None:
            said = self.passed_over.why + (f": {self.passed_over.detail}" if self.passed_over.detail else "")
        else:
            said = "gets the call" if self.chosen else "is fit, and would be next"
        if self.predicted_start_ns is not None and self.passed_over is None:
            said += f"; it would start in {show_duration(self.predicted_start_ns)}"
            said += ", later than the budget" if self.over_budget else ""
        return said

    @property
    def live(self) -> str:
        """The figures in words: `waiting 12, workers 8, service 1.2 ms`."""
        return ", ".join(_shown(name, figure) for name, figure in self.figures.items())

    def __str__(self) -> str:
        said = f"{'→' if self.chosen else ' '} {self.destination} ({self.transport}) {self.words}"
        return f"{said}\n      now: {self.live}" if self.figures else said


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a call would get now: every rule asked, every candidate weighed, and the decision."""

    task: str
    policy_version: str
    sources: tuple[str, ...]
    durability: Durability
    latency_budget_ns: int | None
    payload: Estimate
    payload_asked: bool
    """Whether any rule or limit wanted to know the payload's size."""
    pin: str | None
    """What the pin of the call or its task says, and whom it leaves out."""
    rules: tuple[Asked, ...]
    candidates: tuple[Weighed, ...]
    decision: Decision | None
    """`None`: nothing would take the call, and `delay` would raise."""

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What a refusal would list."""
        return tuple(each.passed_over for each in self.candidates if each.passed_over is not None)

    def to_dict(self) -> dict[str, Any]:
        """The same in plain types, for JSON; keys stay as they are."""
        return {
            "task": self.task,
            "policy": {"version": self.policy_version, "sources": list(self.sources)},
            "requirements": {
                "durability": self.durability,
                "latency_budget_ns": self.latency_budget_ns,
                "pin": self.pin,
            },
            "payload": {
                "asked": self.payload_asked,
                "bytes": None if self.payload is None else int(self.payload),
                "at_least": type(self.payload) is AtLeast,
            },
            "rules": [msgspec.structs.asdict(each) for each in self.rules],
            "candidates": [{**msgspec.structs.asdict(each), "words": each.words} for each in self.candidates],
            "decision": None if self.decision is None else msgspec.to_builtins(self.decision),
        }

    def __str__(self) -> str:
        budget = "none" if self.latency_budget_ns is None else show_duration(self.latency_budget_ns)
        lines = [
            f"{self.task}: {self.durability}, latency budget {budget}, payload {self._payload_words()}",
            *([self.pin] if self.pin else []),
            "rules",
            *(f"  {each}" for each in self.rules),
            "candidates",
            *(f"  {each}" for each in self.candidates),
            "decision",
            f"  {self.decision or 'none: the call would not be accepted'}",
        ]
        return "\n".join(lines)

    def _payload_words(self) -> str:
        if not self.payload_asked:
            return "not asked"
        if self.payload is None:
            return "unknown"
        return ("at least " if type(self.payload) is AtLeast else "") + show_size(self.payload)


def _shown(name: str, figure: int) -> str:
    if not name.endswith("_ns"):
        return f"{name.replace('_', ' ')} {figure}"
    return f"{name.removesuffix('_ns').replace('_', ' ')} {show_duration(figure)}"
