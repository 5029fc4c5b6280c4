"""How much of a policy its cases have seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from dispatch._requirements import Durability
from dispatch.policy._destinations import DestinationSettings
from dispatch.policy._grammar import Otherwise, RuleSettings
from dispatch.policy._match import Match
from dispatch.policy._policy import Policy
from dispatch.policy.testing._running import Outcome


class CandidateCoverage(msgspec.Struct, frozen=True):
    """One destination that a rule names."""

    destination: str
    chosen: int
    """Cases in which it got a call of this rule."""
    never: bool
    """It can take none of the rule's calls, for what they have in common; that is not held against anybody."""


class RuleCoverage(msgspec.Struct, frozen=True):
    """One rule, or `otherwise`."""

    rule: str
    asked: int
    matched: int
    candidates: tuple[CandidateCoverage, ...]


class Coverage(msgspec.Struct, frozen=True):
    """All rules of a policy, in order. A rule is covered when it chose, a candidate when it got a call of the rule."""

    rules: tuple[RuleCoverage, ...]

    @property
    def percent(self) -> float:
        """Of all rules and candidates that can be covered, those that are."""
        counts = [each for rule in self.rules for each in _counts(rule)]
        return 100 * sum(map(bool, counts)) / len(counts)


def coverage(policy: Policy, outcomes: Iterable[Outcome]) -> Coverage:
    """What these cases have seen of `policy`. A call pinned to a destination says nothing about a rule's candidates."""
    asked: Counter[str] = Counter()
    matched: Counter[str] = Counter()
    chosen: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        explanation = outcome.explanation
        if explanation is None:
            continue
        asked.update(each.rule for each in explanation.rules)
        matched.update(each.rule for each in explanation.rules if each.matched)
        if explanation.decision is not None and outcome.case.call.route_to is None:
            chosen[explanation.decision.rule, explanation.decision.destination] += 1
    rules: Sequence[tuple[str, Otherwise]] = [
        *((rule.name, rule) for rule in policy.rules),
        ("otherwise", policy.otherwise),
    ]
    return Coverage(
        tuple(
            RuleCoverage(
                name,
                asked[name],
                matched[name],
                tuple(
                    CandidateCoverage(
                        target,
                        chosen[name, target],
                        _never(rule.match if isinstance(rule, RuleSettings) else None, policy.destinations[target]),
                    )
                    for target in rule.targets
                ),
            )
            for name, rule in rules
        )
    )


def _counts(rule: RuleCoverage) -> list[int]:
    return [rule.matched, *(each.chosen for each in rule.candidates if not each.never)]


def _never(match: Match | None, settings: DestinationSettings) -> bool:
    durability = None if match is None else _durability(match)
    return (durability, settings.transport) in (("durable", "local"), ("ephemeral", "spool"))


def _durability(match: Match) -> Durability | None:
    """What all calls that it matches have in common."""
    said = (match.durability, *(_durability(each) for each in match.all_ or ()))
    return next((each for each in said if each is not None), None)
