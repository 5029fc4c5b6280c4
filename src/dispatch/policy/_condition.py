"""Predicates over the facts of a call. The same objects bind, decide and explain."""

from __future__ import annotations

import re
from typing import Literal, Protocol

import msgspec

from dispatch._units import show_duration, show_size
from dispatch.policy._estimate import AtLeast
from dispatch.policy._facts import UNMEASURED, Facts
from dispatch.policy._interval import Interval


class Condition(Protocol):
    """A predicate that also answers before the payload is known."""

    @property
    def cuts(self) -> frozenset[int]:
        """The payload sizes at which the answer may change."""

    def holds(self, facts: Facts) -> bool | None:
        """Whether it holds; `None`: that depends on the payload, which was not measured."""

    def words(self, facts: Facts) -> str:
        """Why it holds, or why not, with the fact it was asked about."""


class TaskIsLike(msgspec.Struct, frozen=True):
    globs: tuple[str, ...]
    pattern: re.Pattern[str]
    cuts: frozenset[int] = frozenset()

    def holds(self, facts: Facts) -> bool:
        return self.pattern.match(facts.task) is not None

    def words(self, facts: Facts) -> str:
        said = "is like" if self.holds(facts) else "is not like"
        return f"task {facts.task} {said} {' or '.join(self.globs)}"


class HasTags(msgspec.Struct, frozen=True):
    tags: frozenset[str]
    cuts: frozenset[int] = frozenset()

    def holds(self, facts: Facts) -> bool:
        return self.tags <= facts.tags

    def words(self, facts: Facts) -> str:
        missing = self.tags - facts.tags
        return f"tags lack {', '.join(sorted(missing))}" if missing else f"tags hold {', '.join(sorted(self.tags))}"


class Is(msgspec.Struct, frozen=True):
    """A fact that is one word."""

    fact: Literal["kind", "durability"]
    word: str
    cuts: frozenset[int] = frozenset()

    def holds(self, facts: Facts) -> bool:
        found: bool = getattr(facts, self.fact) == self.word
        return found

    def words(self, facts: Facts) -> str:
        said = getattr(facts, self.fact)
        return f"{self.fact} is {said}" + ("" if said == self.word else f", not {self.word}")


class BudgetIs(msgspec.Struct, frozen=True):
    interval: Interval
    cuts: frozenset[int] = frozenset()

    def holds(self, facts: Facts) -> bool:
        return self.interval.holds(facts.latency_budget_ns)

    def words(self, facts: Facts) -> str:
        if facts.latency_budget_ns is None:
            return f"latency_budget is not set, so not {self.interval.text}"
        return f"latency_budget {show_duration(facts.latency_budget_ns)} {self.interval.verb(facts.latency_budget_ns)}"


class PayloadIs(msgspec.Struct, frozen=True):
    interval: Interval
    cuts: frozenset[int]

    def holds(self, facts: Facts) -> bool | None:
        return None if facts.payload is UNMEASURED else self.interval.holds(facts.payload)

    def words(self, facts: Facts) -> str:
        size = facts.payload
        if size is UNMEASURED:
            return "payload is not measured"
        if size is None:
            return f"payload is unknown, so not {self.interval.text}"
        about = "at least " if type(size) is AtLeast else ""
        return f"payload {about}{show_size(size)} {self.interval.verb(size)}"


class All(msgspec.Struct, frozen=True):
    parts: tuple[Condition, ...]
    cuts: frozenset[int]

    def holds(self, facts: Facts) -> bool | None:
        verdict: bool | None = True
        for part in self.parts:
            answer = part.holds(facts)
            if answer is False:
                return False
            if answer is None:
                verdict = None
        return verdict

    def words(self, facts: Facts) -> str:
        against = [part for part in self.parts if part.holds(facts) is False]
        return ", and ".join(part.words(facts) for part in against[:1] or self.parts)


class AnyOf(msgspec.Struct, frozen=True):
    parts: tuple[Condition, ...]
    cuts: frozenset[int]

    def holds(self, facts: Facts) -> bool | None:
        verdict: bool | None = False
        for part in self.parts:
            answer = part.holds(facts)
            if answer is True:
                return True
            if answer is None:
                verdict = None
        return verdict

    def words(self, facts: Facts) -> str:
        in_favour = [part for part in self.parts if part.holds(facts) is True]
        return ", and ".join(part.words(facts) for part in in_favour[:1] or self.parts)


class Not(msgspec.Struct, frozen=True):
    part: Condition

    @property
    def cuts(self) -> frozenset[int]:
        return self.part.cuts

    def holds(self, facts: Facts) -> bool | None:
        answer = self.part.holds(facts)
        return None if answer is None else not answer

    def words(self, facts: Facts) -> str:
        return self.part.words(facts)
