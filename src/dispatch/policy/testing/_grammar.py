"""What a file of cases may say."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from dispatch._decision import Why
from dispatch._requirements import Durability, Kind, Only
from dispatch.policy._mistake import Mistake
from dispatch.policy._node import Mapping
from dispatch.policy._quantity import DurationNs, Name, Size, Word, Words, counted, not_empty
from dispatch.policy._shape import Shape
from dispatch.policy._translation import Grammar

Trouble: TypeAlias = Literal["full", "breaker_open", "unverified", "not_configured", "refused"]
"""What a destination may be, apart from well."""

Refusal: TypeAlias = Literal["NotAccepted", "NotConfigured", "DestinationFull", "SpoolFull"]
"""What `delay` raises when nobody takes the call."""


def _version(value: object) -> object:
    if value not in ("1", 1):
        raise Mistake("bad-version", "this version of dispatch reads cases of version 1", "Write `version: 1`.")
    return 1


def _payload(value: object) -> object:
    return None if value == "unknown" else value


def _state(value: object) -> object:
    """One word stands for what the destination is."""
    return {"is": value} if isinstance(value, str) else value


class CallSettings(Shape):
    """A call: what its task says about itself, and what it carries."""

    task: Word = "example.task"
    kind: Kind = "io"
    tags: Words = ()
    durability: Durability | None = None
    latency_budget_ns: DurationNs | None = Field(default=None, alias="latency_budget")
    payload: Annotated[Size | None, BeforeValidator(_payload)] = 1
    """Bytes; `None`: unknown."""
    only: Only | None = None
    route_to: Name | None = None


class State(Shape):
    """How a destination is doing; what is not said is well."""

    is_: Trouble | None = Field(default=None, alias="is")
    starts_in_ns: DurationNs | None = Field(default=None, alias="starts_in")
    """What it predicts for a call that is handed over now."""
    waiting: Annotated[int, counted(0, 10_000_000)] | None = None
    """Calls that wait in it: as many as its capacity, and it is full."""


class Expectation(Shape):
    """What is to become of the call. What is not said is not looked at."""

    destination: Name | None = None
    error: Refusal | None = None
    rule: Word | None = None
    passed_over: dict[Name, Why] | None = None
    """All that do not get the call, though the rule names them before whoever does, and why."""
    over_budget: Literal["true", "false"] | None = None

    @model_validator(mode="after")
    def _says_what_becomes_of_it(self) -> Expectation:
        if (self.destination is None) == (self.error is None):
            raise Mistake(
                "no-expectation",
                "either `destination` or `error` says what becomes of the call",
                "Write `destination: …`, or `error: NotAccepted` when nobody takes it.",
            )
        return self


class Case(Shape):
    """A call, how the destinations are doing, and what becomes of it."""

    name: Word
    call: CallSettings = Field(default_factory=CallSettings)
    given: dict[Name, Annotated[State, BeforeValidator(_state)]] = Field(default_factory=dict)
    expect: Expectation


class CaseFile(Shape):
    """Cases of one policy."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    policy: Words | None = None
    """From the file's own folder; unset: the file of the same name without `_test`."""
    cases: Annotated[tuple[Case, ...], BeforeValidator(not_empty)]


_MODELS: dict[str, type[Shape]] = {"call": CallSettings, "expect": Expectation}
_MISSING = {
    "version": "Write `version: 1`.",
    "cases": "Write at least one: `- {name: …, expect: {destination: …}}`.",
    "name": "Say in a sentence what is true.",
    "expect": "Say what becomes of the call: `expect: {destination: …}`.",
}


def _model(path: tuple[str | int, ...], _: Mapping | None) -> type[Shape]:
    if not path:
        return CaseFile
    return Case if len(path) == 2 else _MODELS.get(str(path[-1]), State)


def _where(path: tuple[str | int, ...]) -> str:
    if not path:
        return "a file of cases"
    return "a case" if len(path) == 2 else f"`{path[-1]}`"


GRAMMAR = Grammar(_model, _where, _MISSING)
