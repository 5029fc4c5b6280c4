"""A rule as the engine asks it, and how it is made of what the policy says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate

import msgspec

from dispatch._decision import Reason
from dispatch.policy._condition import All, AnyOf, BudgetIs, Condition, HasTags, Is, Not, PayloadIs, TaskIsLike
from dispatch.policy._facts import Facts
from dispatch.policy._grammar import Otherwise, RuleSettings
from dispatch.policy._match import Match


class Rule(msgspec.Struct, frozen=True):
    """One rule; `otherwise` is the rule without a condition."""

    name: str
    condition: Condition | None
    targets: tuple[str, ...]
    """The destinations it names, in order."""
    rejects: bool
    """`on_infeasible: reject`."""

    @property
    def reason(self) -> Reason:
        return "otherwise" if self.condition is None else "rule"

    @property
    def cuts(self) -> frozenset[int]:
        """The payload sizes at which its answer may change."""
        return frozenset() if self.condition is None else self.condition.cuts

    def holds(self, facts: Facts) -> bool | None:
        """Whether it chooses this call; `None`: that depends on the payload, which was not measured."""
        return True if self.condition is None else self.condition.holds(facts)

    def words(self, facts: Facts) -> str:
        """Why it does, or why not."""
        return "no rule before it holds" if self.condition is None else self.condition.words(facts)


def rules_of(settings: Sequence[RuleSettings], otherwise: Otherwise) -> tuple[Rule, ...]:
    """The rules in the order in which they are asked; the last one always holds."""
    named = [Rule(each.name, _compiled(each.match), each.targets, each.on_infeasible == "reject") for each in settings]
    return (*named, Rule("otherwise", None, otherwise.targets, otherwise.on_infeasible == "reject"))


def pattern_of(globs: Sequence[str]) -> re.Pattern[str]:
    """Matches what `fnmatchcase` matches with one of `globs`."""
    return re.compile("|".join(translate(glob) for glob in globs))


def _compiled(match: Match) -> Condition:
    parts: list[Condition] = []
    if match.task is not None:
        parts.append(TaskIsLike(match.task, pattern_of(match.task)))
    if match.tags is not None:
        parts.append(HasTags(frozenset(match.tags)))
    if match.kind is not None:
        parts.append(Is("kind", match.kind))
    if match.durability is not None:
        parts.append(Is("durability", match.durability))
    if match.latency_budget is not None:
        parts.append(BudgetIs(match.latency_budget))
    if match.payload is not None:
        parts.append(PayloadIs(match.payload, match.payload.cuts))
    if match.all_ is not None:
        parts.append(_all([_compiled(each) for each in match.all_]))
    if match.any_ is not None:
        parts.append(_any([_compiled(each) for each in match.any_]))
    if match.not_ is not None:
        parts.append(Not(_compiled(match.not_)))
    return _all(parts)


def _all(parts: Sequence[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else All(tuple(parts), _cuts(parts))


def _any(parts: Sequence[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts), _cuts(parts))


def _cuts(parts: Sequence[Condition]) -> frozenset[int]:
    return frozenset(cut for part in parts for cut in part.cuts)
