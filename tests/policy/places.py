"""What a plan needs, by hand: destinations that answer what they are told to, and tasks that are never run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability, Kind, Requirements
from dispatch.errors import PassedOver
from dispatch.policy import Plan, parse


@dataclass(eq=False)
class Made:
    """A destination: everything about it is an attribute, and it remembers what it was asked."""

    name: str
    transport: Transport = "local"
    keeps_durable: bool = False
    always_fit: bool = True
    max_payload: int | None = None
    start_ns: int = 0
    barred: str | None = None
    """Why it can never take anything."""
    down: str | None = None
    """Why it cannot take anything just now."""
    encodes: bool = True
    live: dict[str, int] = field(default_factory=dict)
    """What its prediction rests on."""
    asked: list[str] = field(default_factory=list)

    @property
    def runs_on(self) -> Transport:
        return "celery" if self.transport == "spool" else self.transport

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        self.asked.append("bars")
        if durability == "durable" and not self.keeps_durable:
            return PassedOver(self.name, "not_durable")
        return PassedOver(self.name, self.barred) if self.barred else None

    def unfit(self, durability: Durability) -> PassedOver | None:
        self.asked.append("unfit")
        return PassedOver(self.name, self.down) if self.down else None

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        return self.start_ns

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        return self.live

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        self.asked.append("refuses")
        return None if self.encodes else PassedOver(self.name, "cannot_carry", "it does not encode", "arguments[0]")


def local(name: str = "fast", **said: Any) -> Made:
    return Made(name, **said)


def broker(name: str = "queue", **said: Any) -> Made:
    return Made(name, **{"transport": "celery", "keeps_durable": True, "always_fit": False, **said})


def spool(name: str = "disk", **said: Any) -> Made:
    return Made(name, **{"transport": "spool", "keeps_durable": True, "always_fit": False, **said})


def by_name(*places: Made) -> Mapping[str, Made]:
    return {place.name: place for place in places}


def a_task(
    name: str = "shop.resize", *, kind: Kind = "io", tags: frozenset[str] = frozenset(), **requirements: Any
) -> TaskSpec:
    return TaskSpec(
        name=name,
        function=a_task,
        signature=lambda *args, **kwargs: None,
        requirements=Requirements.of(**requirements),
        kind=kind,
        tags=tags,
    )


HEAD = """\
version: 1
destinations:
  fast: {transport: local, reached_by: pins}
  queue: {transport: celery, reached_by: pins}
  other: {transport: celery, reached_by: pins}
defaults: {durability: ephemeral}
"""


def plan(rules: str, spec: TaskSpec | None = None, *places: Made) -> Plan:
    """The task bound to a policy that ends in `rules`."""
    chosen = {"fast": local(), "queue": broker(), "other": broker("other"), **by_name(*places)}
    return parse(HEAD + rules).bind(spec or a_task(), chosen)


def offered(bound: Plan, *args: Any, **kwargs: Any) -> list[str]:
    """Whom the call would be offered to, in order; those passed over as `name: why`."""
    size = bound.measure(args, kwargs)
    return [
        f"{each.destination}: {each.why}" if isinstance(each, PassedOver) else each.name
        for each in bound.candidates(bound.only or bound.route(size), size)
    ]


def decided(bound: Plan, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """Rule and destination of the call when every hand-over succeeds."""
    decision = bound.explain(args, kwargs).decision
    assert decision is not None
    return decision.rule, decision.destination
