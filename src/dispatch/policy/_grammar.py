"""The policy file as a whole. Not here: which names exist, for that takes all of the file at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

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
    """The destination that gets the call, if it can take it."""
    fallback: Annotated[tuple[Name, ...], Field(json_schema_extra={"uniqueItems": True})] = ()
    """Who is asked after it, in order."""
    on_infeasible: Literal["rank", "reject"] = "rank"
    """What happens to an ephemeral call that no candidate can start within its latency budget."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The candidates, in order."""
        return (self.route_to, *self.fallback)


class RuleSettings(Otherwise):
    """One rule: which calls, and where they go."""

    name: RuleName
    """Shown by every decision and every trace; no two rules have the same."""
    match: Match
    """Which calls it chooses: a predicate, of which all keys must hold."""


class Defaults(Shape):
    """What holds for a call when neither the call, its task nor `tasks:` says."""

    durability: Durability
    """`ephemeral` may be lost and is never knowingly repeated; `durable` runs at least once."""
    latency_budget_ns: DurationNs | None = Field(default=None, alias="latency_budget")
    """The longest acceptable time from `delay` to the task's first line."""


class TaskSettings(Shape):
    """What the policy says about tasks whose name matches a pattern."""

    durability: Durability | None = None
    """The strongest word of call, decorator and all patterns that match holds."""
    latency_budget_ns: DurationNs | None = Field(default=None, alias="latency_budget")
    """The longest acceptable time from `delay` to the task's first line; the first pattern that matches counts."""


class PolicyFile(Shape):
    """Everything that a policy says."""

    version: Annotated[Literal[1], BeforeValidator(_version), WithJsonSchema({"enum": [1, "1"]})]
    """The version of this grammar: 1."""
    destinations: Annotated[
        dict[Name, Annotated[DestinationSettings, Field(discriminator="transport")]],
        BeforeValidator(not_empty),
        Field(json_schema_extra={"minProperties": 1, "additionalProperties": False}),
    ]
    """Named places that take calls, each with a transport and its limits."""
    defaults: Defaults
    """What holds when nobody says."""
    tasks: dict[Word, TaskSettings] = Field(default_factory=dict)
    """What holds for tasks by name: patterns such as `billing.*`, in order; `*` crosses dots."""
    rules: tuple[RuleSettings, ...] = ()
    """In order: the first whose `match` holds chooses."""
    otherwise: Otherwise
    """Where the calls go that no rule chooses."""
