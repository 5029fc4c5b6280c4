"""A policy that was read and found right: it binds tasks, and the plans decide."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf

from msgspec.structs import replace

from dispatch._registry import TaskSpec
from dispatch._requirements import Durability, strongest
from dispatch.policy._bench import Bench
from dispatch.policy._destinations import DestinationSettings
from dispatch.policy._explanation import Asked
from dispatch.policy._facts import Facts
from dispatch.policy._grammar import Defaults, Otherwise, PolicyFile, RuleSettings, TaskSettings
from dispatch.policy._node import Mapping, Spot
from dispatch.policy._place import Place
from dispatch.policy._plan import Plan
from dispatch.policy._rule import pattern_of, rules_of


class Policy:
    """Made by `load` and `parse`; never changes."""

    def __init__(
        self, *, version: str, sources: tuple[str, ...], file: PolicyFile, root: Mapping | None = None
    ) -> None:
        self.version = version
        """Twelve hex digits: another policy, another version. Comments and layout do not count."""
        self.sources = sources
        """The files it was read from, the later laid over the earlier."""
        self.root = Mapping(Spot("", 1, 1, "")) if root is None else root
        """The same as it is written, each piece with its place."""
        self._file = file
        self._rules = rules_of(file.rules, file.otherwise)
        self._tasks = [(pattern_of([glob]), settings) for glob, settings in file.tasks.items()]

    @property
    def destinations(self) -> MappingOf[str, DestinationSettings]:
        return self._file.destinations

    @property
    def defaults(self) -> Defaults:
        return self._file.defaults

    @property
    def tasks(self) -> MappingOf[str, TaskSettings]:
        """By pattern, in the order in which they are asked."""
        return self._file.tasks

    @property
    def rules(self) -> tuple[RuleSettings, ...]:
        return self._file.rules

    @property
    def otherwise(self) -> Otherwise:
        return self._file.otherwise

    def bind(self, spec: TaskSpec, places: MappingOf[str, Place]) -> Plan:
        """Settle all that is known of a task's calls before they are made. `places`: every destination, by name.

        Raises `NotConfigured` when the task is pinned to what the policy does not have.
        """
        durability, budget = self._requirements(spec)
        return Plan(
            spec=spec,
            facts=Facts(
                task=spec.name,
                tags=spec.tags,
                kind=spec.kind,
                durability=durability,
                latency_budget_ns=budget,
            ),
            rules=self._rules,
            bench=Bench(spec, durability, places),
            policy_version=self.version,
            sources=self.sources,
        )

    def asked(self, facts: Facts) -> tuple[Asked, ...]:
        """Each rule that a call with these facts is asked about, in order, and what it says; the last one chooses.

        Facts without a measured payload are those of a call that no rule wanted to measure; where one does, after
        all, it could not be measured.
        """
        asked = []
        for rule in self._rules:
            if rule.holds(facts) is None:
                facts = replace(facts, payload=None)
            chooses = rule.holds(facts) is True
            asked.append(Asked(rule.name, chooses, rule.words(facts)))
            if chooses:
                break
        return tuple(asked)

    def candidates(self, rule: str) -> tuple[str, ...]:
        """The destinations that the rule of this name sends to, in order; none where there is no such rule."""
        return next((each.targets for each in self._rules if each.name == rule), ())

    def _requirements(self, spec: TaskSpec) -> tuple[Durability, int | None]:
        """What holds for the task's calls, from its own word, the patterns that match it, and the defaults.

        Of durabilities the strongest counts, of budgets the first.
        """
        matching = [settings for pattern, settings in self._tasks if pattern.match(spec.name)]
        durability = strongest(spec.requirements.durability, *(settings.durability for settings in matching))
        budgets = (
            spec.requirements.latency_budget_ns,
            *(settings.latency_budget_ns for settings in matching),
            self.defaults.latency_budget_ns,
        )
        return durability or self.defaults.durability, next((each for each in budgets if each is not None), None)

    def __repr__(self) -> str:
        return f"<Policy {self.version} | {' + '.join(self.sources)} | {len(self.rules)} rules>"
