"""A policy that is to be proved: what it says, where it says so, and which calls there can be."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.policy._condition import All, BudgetIs, Condition, Is, Not, TaskIsLike
from dispatch.policy._destinations import CelerySettings, LocalSettings
from dispatch.policy._grammar import PolicyFile
from dispatch.policy._interval import Interval
from dispatch.policy._node import Listing, Mapping, Node, Spot
from dispatch.policy._proofs._effort import Effort
from dispatch.policy._proofs._region import Regions, axes_for
from dispatch.policy._proofs._search import Search
from dispatch.policy._rule import Rule, pattern_of, rules_of

_EACH = 20_000
_TOGETHER = 3_000_000
"""Steps: about a second of them, of which a sensible policy of a thousand rules takes a part."""

_IS_SET = BudgetIs(Interval(0, None, "set"))


class Subject:
    """One policy, with everything that its proofs share."""

    def __init__(self, file: PolicyFile, root: Mapping) -> None:
        self.file = file
        self._root = root
        self.rules = rules_of(file.rules, file.otherwise)
        self.limits = {name: limit for name in file.destinations if (limit := self._limit(name)) is not None}
        effort = Effort(each=_EACH, together=_TOGETHER)
        self.search = Search(Regions(axes_for(self.rules, limits=self.limits.values())), effort)
        self.laws = [Rule("tasks and defaults", law, (), rejects=False) for law in self._laws()]
        """What holds of no call, written as rules: `tasks` and `defaults` see to it."""

    def _limit(self, name: str) -> int | None:
        said = self.file.destinations[name]
        if isinstance(said, LocalSettings):
            return said.max_bytes
        return said.max_payload if isinstance(said, CelerySettings) else None

    def _laws(self) -> Iterator[Condition]:
        durable = [glob for glob, said in self.file.tasks.items() if said.durability == "durable"]
        if durable:
            yield All((_like(durable), Is("durability", "ephemeral")), frozenset())
        if self.file.defaults.latency_budget_ns is not None:
            yield Not(_IS_SET)
            return
        hurried = [glob for glob, said in self.file.tasks.items() if said.latency_budget_ns is not None]
        if hurried:
            yield All((_like(hurried), Not(_IS_SET)), frozenset())

    # ---- places in the file

    def spot(self, at: int, key: str) -> Spot:
        """Where the rule number `at` says `key`, or where it stands itself; `otherwise` is the last."""
        rules = self._root.get("rules")
        node: Node | None = self._root.get("otherwise")
        if isinstance(rules, Listing) and at < len(rules.items):
            node = rules.items[at]
        assert isinstance(node, Mapping)  # noqa: S101 - the models have seen it
        said = node.get(key)
        return node.spot if said is None else said.spot

    def key(self, section: str, name: str, key: str | None = None) -> Spot:
        """Where the entry `name` of a section is written, or its `key`."""
        entries = self._root.get(section)
        assert isinstance(entries, Mapping)  # noqa: S101 - as above
        spot, entry = entries.entries[name]
        return entry.entries[key][0] if isinstance(entry, Mapping) and key is not None else spot


def _like(globs: list[str]) -> TaskIsLike:
    return TaskIsLike(tuple(globs), pattern_of(globs))
