"""What a rule's `match` may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from dispatch._requirements import Durability, Kind
from dispatch.policy._interval import DurationInterval, SizeInterval
from dispatch.policy._mistake import Mistake
from dispatch.policy._quantity import Words, not_empty
from dispatch.policy._shape import Shape


class Match(Shape):
    """A pure predicate over a call; keys beside each other must all hold."""

    task: Words | None = None
    """Globs on the full task name; one of them is enough."""
    tags: Words | None = None
    """The call's task has every one of them."""
    kind: Kind | None = None
    durability: Durability | None = None
    latency_budget: DurationInterval | None = None
    payload: SizeInterval | None = None
    all_: Annotated[tuple[Match, ...], BeforeValidator(not_empty)] | None = Field(default=None, alias="all")
    any_: Annotated[tuple[Match, ...], BeforeValidator(not_empty)] | None = Field(default=None, alias="any")
    not_: Match | None = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _says_something(self) -> Match:
        if not self.model_fields_set:
            raise Mistake(
                "empty-match",
                "this matches every call",
                "Say what to match; what holds for every other call belongs under `otherwise`.",
            )
        return self
