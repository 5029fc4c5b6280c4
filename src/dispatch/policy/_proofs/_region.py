"""The calls that a rule matches, as boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatch.policy._condition import All, AnyOf, BudgetIs, Condition, HasTags, Is, Not, PayloadIs, TaskIsLike
from dispatch.policy._proofs._axes import Axes
from dispatch.policy._proofs._box import Box, meet
from dispatch.policy._proofs._effort import Unsure
from dispatch.policy._proofs._glob import Glob
from dispatch.policy._rule import Rule

_MOST_BOXES = 5000
"""A match of matches can multiply out to any number."""


class Regions:
    """Turns conditions into boxes. Each box says less than the condition in nothing, and so do all of them together."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self._globs: dict[str, Glob] = {}

    def of_rule(self, rule: Rule) -> list[Box]:
        """Raises `Unsure` when they are too many."""
        return [self.axes.whole] if rule.condition is None else self._of(rule.condition, holds=True)

    def glob(self, text: str) -> Glob:
        """One object for each text, so that the same glob is seen to be the same."""
        known = self._globs.get(text)
        if known is None:
            known = self._globs[text] = Glob(text)
        return known

    def _of(self, condition: Condition, *, holds: bool) -> list[Box]:
        if isinstance(condition, Not):
            return self._of(condition.part, holds=not holds)
        if isinstance(condition, All | AnyOf):
            parts = (self._of(part, holds=holds) for part in condition.parts)
            return self._product(parts) if isinstance(condition, All) == holds else self._sum(parts)
        if isinstance(condition, TaskIsLike):
            globs = [self.glob(text) for text in condition.globs]
            return [Box(like=frozenset({each})) for each in globs] if holds else [Box(unlike=frozenset(globs))]
        if isinstance(condition, HasTags):
            lacking = [Box(lacks=frozenset({tag})) for tag in sorted(condition.tags)]
            return [Box(tags=condition.tags)] if holds else lacking
        return [self._of_number(condition, holds=holds)]

    def _of_number(self, condition: Condition, *, holds: bool) -> Box:
        axes, whole = self.axes, self.axes.whole
        if isinstance(condition, BudgetIs):
            bits = axes.budgets_in(condition.interval)
            return Box(budgets=bits if holds else whole.budgets & ~bits)
        if isinstance(condition, PayloadIs):
            bits = axes.sizes_in(condition.interval)
            return Box(sizes=bits if holds else whole.sizes & ~bits)
        assert isinstance(condition, Is)  # noqa: S101 - there is no other
        if condition.fact == "kind":
            bits = axes.kind(condition.word)
            return Box(kinds=bits if holds else whole.kinds & ~bits)
        bits = axes.durability(condition.word)
        return Box(durabilities=bits if holds else whole.durabilities & ~bits)

    def _sum(self, parts: Iterable[list[Box]]) -> list[Box]:
        return self._counted([box for part in parts for box in part])

    def _product(self, parts: Iterable[list[Box]]) -> list[Box]:
        product = [self.axes.whole]
        for part in parts:
            if len(product) * len(part) > 10 * _MOST_BOXES:
                raise Unsure
            product = self._counted([met for one in product for other in part if (met := meet(one, other))])
        return product

    def _counted(self, boxes: list[Box]) -> list[Box]:
        if len(boxes) > _MOST_BOXES:
            raise Unsure
        return boxes


def axes_for(rules: Sequence[Rule], *, limits: Iterable[int]) -> Axes:
    """What the rules compare budgets and payloads to, and the largest payloads of destinations."""
    budgets: set[int] = set()
    sizes = {limit + 1 for limit in limits}
    for rule in rules:
        for compared in _comparisons(rule.condition):
            (budgets if isinstance(compared, BudgetIs) else sizes).update(compared.interval.cuts)
    return Axes(budget_cuts=budgets, size_cuts=sizes)


def _comparisons(condition: Condition | None) -> Iterable[BudgetIs | PayloadIs]:
    if isinstance(condition, BudgetIs | PayloadIs):
        yield condition
    elif isinstance(condition, Not):
        yield from _comparisons(condition.part)
    elif isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _comparisons(part)
