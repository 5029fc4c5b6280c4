"""What a call needs from the destination that takes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar, get_args

import msgspec

from dispatch._units import as_duration_ns

T = TypeVar("T")

Durability: TypeAlias = Literal["ephemeral", "durable"]
"""`ephemeral` may be lost and is never knowingly repeated; `durable` runs at least once."""

Kind: TypeAlias = Literal["io", "cpu", "async"]

Only: TypeAlias = Literal["local", "celery"]

Duration: TypeAlias = str | float | timedelta
"""Text with a unit (`"250ms"`), a number of seconds, or a `timedelta`."""


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """What nobody has said is `None`, so that the next one who may say it is asked: call, decorator, policy."""

    durability: Durability | None = None
    latency_budget_ns: int | None = None
    """The longest acceptable time from `delay` to the task's first line."""
    only: Only | None = None
    """Keep the candidates of this transport alone."""
    route_to: str | None = None
    """Keep this destination alone."""

    @classmethod
    def of(
        cls,
        *,
        durability: Durability | None = None,
        latency_budget: Duration | None = None,
        only: Only | None = None,
        route_to: str | None = None,
    ) -> Requirements:
        """Requirements as people write them. Raises `ValueError` naming the parameter and what it takes."""
        _one_of("durability", durability, get_args(Durability))
        _one_of("only", only, get_args(Only))
        try:
            budget = None if latency_budget is None else as_duration_ns(latency_budget)
        except ValueError as error:
            raise ValueError(f"latency_budget: {error}") from None
        return cls(durability=durability, latency_budget_ns=budget, only=only, route_to=route_to)

    @property
    def pin(self) -> str:
        """Its `only` and `route_to`, as they were said; empty without either."""
        said = (("only", self.only), ("route_to", self.route_to))
        return ", ".join(f"{name}={value!r}" for name, value in said if value is not None)

    def strengthened(self, other: Requirements) -> Requirements:
        """`other` laid over these: what it says holds, but durability is never lowered."""
        return Requirements(
            durability=strongest(self.durability, other.durability),
            latency_budget_ns=_first(other.latency_budget_ns, self.latency_budget_ns),
            only=_first(other.only, self.only),
            route_to=_first(other.route_to, self.route_to),
        )


def strongest(*said: Durability | None) -> Durability | None:
    """The strongest durability that anyone asked for; `None` when nobody did."""
    if "durable" in said:
        return "durable"
    return "ephemeral" if "ephemeral" in said else None


def _first(*said: T | None) -> T | None:
    return next((each for each in said if each is not None), None)


def _one_of(name: str, value: str | None, words: tuple[str, ...]) -> None:
    if value is not None and value not in words:
        raise ValueError(f"{name}={value!r} is not known: it takes {' or '.join(map(repr, words))}")
