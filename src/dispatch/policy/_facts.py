"""What rules may ask about a call. A closed set: nothing else can make a decision differ."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

import msgspec

from dispatch._requirements import Durability, Kind
from dispatch.policy._estimate import Estimate


class Unmeasured(Enum):
    """The payload of a call that was not made yet."""

    UNMEASURED = "unmeasured"


UNMEASURED: Literal[Unmeasured.UNMEASURED] = Unmeasured.UNMEASURED

Payload: TypeAlias = Estimate | Literal[Unmeasured.UNMEASURED]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All but `payload` is known when a task is bound to a policy."""

    task: str
    tags: frozenset[str]
    kind: Kind
    durability: Durability
    latency_budget_ns: int | None
    payload: Payload = UNMEASURED
