"""The policy file as a whole. Not here: which names exist, for that takes all of the file at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from dispatch._requirements import Durability
from dispatch.policy._destinations import DestinationSettings
from dispatch.policy._match import Match
from dispatch.policy._mistake import Mistake
from dispatch.policy._quantity import DurationNs, Name, RuleName, Word, not_empty
from dispatch.policy._shape import Shape


def _version(value: object) -> object:
    if value not in ("1", 1):
        raise Mistake("bad-version", "this version of dispatch reads policies of version 1", "Write `version: 1`.")
    return 1


class Otherwise(Shape):
    """Where a call goes that no rule matches."""

    route_to: Name
    fallback: tuple[Name, ...] = ()
    on_infeasible: Literal["rank", "reject"] = "rank"
    """What happens to an ephemeral call that no candidate can start within its latency budget."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The candidates, in order."""
        return (self.route_to, *self.fallback)


class RuleSettings(Otherwise):
    """One rule: which calls, and where they go."""

    name: RuleName
    match: Match


class Defaults(Shape):
    """What holds for a call when neither the call, its task nor `tasks:` says."""

    durability: Durability
    latency_budget_ns: DurationNs | None = Field(default=None, alias="latency_budget")


class TaskSettings(Shape):
    """What the policy says about tasks whose name matches a pattern."""

    durability: Durability | None = None
    latency_budget_ns: DurationNs | None = Field(default=None, alias="latency_budget")


class PolicyFile(Shape):
    """Everything that a policy says."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    destinations: Annotated[
        dict[Name, Annotated[DestinationSettings, Field(discriminator="transport")]], BeforeValidator(not_empty)
    ]
    defaults: Defaults
    tasks: dict[Word, TaskSettings] = Field(default_factory=dict)
    rules: tuple[RuleSettings, ...] = ()
    otherwise: Otherwise
