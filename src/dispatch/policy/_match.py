"""What a rule's `match` may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from dispatch._requirements import Durability, Kind
from dispatch.policy._interval import DurationInterval, SizeInterval
from dispatch.policy._mistake import Mistake
from dispatch.policy._quantity import Words, not_empty
from dispatch.policy._shape import Shape

_AT_LEAST_ONE: JsonDict = {"minItems": 1}


class Match(Shape):
    """A pure predicate over a call; keys beside each other must all hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    task: Words | None = None
    """Globs on the full task name; one of them is enough."""
    tags: Words | None = None
    """The call's task has every one of them."""
    kind: Kind | None = None
    """What the task's decorator says that it does: wait, compute, or run on an event loop."""
    durability: Durability | None = None
    """What holds for the call, whoever said it."""
    latency_budget: DurationInterval | None = None
    """A comparison; it does not hold for a call without a budget."""
    payload: SizeInterval | None = None
    """A comparison of the arguments' estimated size as JSON; it does not hold where that is unknown."""
    all_: _Several | None = Field(default=None, alias="all", json_schema_extra=_AT_LEAST_ONE)
    """Every one of them holds."""
    any_: _Several | None = Field(default=None, alias="any", json_schema_extra=_AT_LEAST_ONE)
    """At least one of them holds."""
    not_: Match | None = Field(default=None, alias="not")
    """It does not hold."""

    @model_validator(mode="after")
    def _says_something(self) -> Match:
        if not self.model_fields_set:
            raise Mistake(
                "empty-match",
                "this matches every call",
                "Say what to match; what holds for every other call belongs under `otherwise`.",
            )
        return self


_Several = Annotated[tuple[Match, ...], BeforeValidator(not_empty)]
