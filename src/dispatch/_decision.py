"""Where a call went, and everything needed to say why."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from dispatch._requirements import Durability
from dispatch._units import show_duration
from dispatch.errors import PassedOver

Transport: TypeAlias = Literal["local", "celery", "spool", "inline"]

Reason: TypeAlias = Literal["rule", "otherwise", "pinned"]

Why: TypeAlias = Literal[
    "not_durable",
    "cannot_carry",
    "not_configured",
    "breaker_open",
    "over_budget",
    "full",
    "refused",
    "unknown",
    "too_big",
]
"""Why a destination was passed over."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One destination, chosen once. Shown as `<Decision fast | otherwise | 0.4 µs>`."""

    destination: str
    """Empty when nobody took the call."""
    transport: Transport
    rule: str
    """The name of the rule that chose, or `otherwise`."""
    reason: Reason
    policy_version: str
    durability: Durability
    latency_budget_ns: int | None = None
    over_budget: bool = False
    """No candidate could start within the budget; this is the earliest."""
    predicted_start_ns: int | None = None
    """The time to start that was predicted when the budget ranked the candidates; `None` when it did not."""
    actual_start_ns: int | None = None
    """The time to start that came of it, or to the date that the call was told; `None` while that is not known.

    Known of a call that began in this process, and of one through Celery whose result was read here; of its first
    attempt, and of no other.
    """
    passed_over: tuple[PassedOver, ...] = ()
    payload_bytes: int | None = None
    """The estimate, when a rule or a limit asked for it and it could be made."""
    decide_ns: int | None = None
    """How long it took to decide."""

    def __repr__(self) -> str:
        took = "" if self.decide_ns is None else f" | {show_duration(self.decide_ns)}"
        passed = "".join(f" | not {each.destination}: {each.why}" for each in self.passed_over)
        return f"<Decision {self.destination} | {self.rule}{took}{passed}>"
