"""Looks for a call that shows something, and finds it where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dispatch.policy._facts import Facts
from dispatch.policy._proofs._axes import DURABILITIES, KINDS, a_word
from dispatch.policy._proofs._box import Box, without
from dispatch.policy._proofs._effort import Effort, Unsure
from dispatch.policy._proofs._glob import Glob, find_name
from dispatch.policy._proofs._region import Regions
from dispatch.policy._rule import Rule


class Search:
    """Every question begins its count of steps anew, and raises `Unsure` when it takes too many.

    What is found is tried on the rules themselves, the objects that decide. A box is cut only where a call in it was
    seen to go elsewhere, so that of a thousand rules those that have nothing to do with the question cost a look.
    """

    def __init__(self, regions: Regions, effort: Effort) -> None:
        self.regions = regions
        self._effort = effort
        self._boxes: dict[int, list[Box] | None] = {}

    def region(self, rule: Rule) -> list[Box]:
        """The boxes of a rule. Raises `Unsure` when they are too many."""
        if id(rule) not in self._boxes:
            try:
                self._boxes[id(rule)] = self.regions.of_rule(rule)
            except Unsure:
                self._boxes[id(rule)] = None
        boxes = self._boxes[id(rule)]
        if boxes is None:
            raise Unsure
        return boxes

    def left_over(self, boxes: Iterable[Box], rules: Sequence[Rule], used: set[str] | None = None) -> Facts | None:
        """A call in one of `boxes` that none of `rules` matches; `None`: there is none. Raises `Unsure`.

        The names of the rules that were in the way are added to `used`.
        """

        def cut(box: Box, call: Facts) -> list[Box] | None:
            taker = self.first(rules, call)
            if taker is None:
                return None
            if used is not None:
                used.add(taker.name)
            return [*without(box, self.around(call, taker), self.regions.axes.whole)]

        return self.find(boxes, cut)

    def find(self, boxes: Iterable[Box], cut: Callable[[Box, Facts], list[Box] | None]) -> Facts | None:
        """A call in one of `boxes` that `cut` has nothing against.

        `cut` gets a box and a call in it, and answers with what is left of the box without that call, or `None`.
        """
        self._effort.begin()
        left = [*boxes][::-1]
        while left:
            box = left.pop()
            call = self._one_of(box)
            if call is None:
                continue
            rest = cut(box, call)
            if rest is None:
                return call
            left += rest[::-1]
        return None

    def first(self, rules: Sequence[Rule], call: Facts) -> Rule | None:
        """Which of `rules` matches it first."""
        for at, rule in enumerate(rules):
            if rule.holds(call):
                self._effort.spend(at + 1)
                return rule
        self._effort.spend(len(rules) + 1)
        return None

    def covering(self, glob: str, others: Sequence[str]) -> list[str] | None:
        """As many of `others` as match every name that `glob` does; `None` when they leave one. Raises `Unsure`."""
        self._effort.begin()
        whole = self.regions.glob(glob)
        used: list[Glob] = []
        while (name := find_name([whole], used, self._effort)) is not None:
            self._effort.spend(len(others))
            taker = next((each for each in map(self.regions.glob, others) if each.matches(name)), None)
            if taker is None:
                return None
            used.append(taker)
        return [each.text for each in used]

    def around(self, call: Facts, rule: Rule) -> Box:
        """A box of the rule's that this call lies in. Raises `Unsure`."""
        boxes = self.region(rule)
        self._effort.spend(len(boxes))
        return next(box for box in boxes if self._holds(box, call))

    def _holds(self, box: Box, call: Facts) -> bool:
        axes = self.regions.axes
        return bool(
            box.durabilities & axes.durability(call.durability)
            and box.kinds & axes.kind(call.kind)
            and box.budgets & axes.budget_bit(call.latency_budget_ns)
            and box.sizes & axes.size_bit(call.payload)
            and box.tags <= call.tags
            and box.lacks.isdisjoint(call.tags)
            and all(glob.matches(call.task) for glob in box.like)
            and not any(glob.matches(call.task) for glob in box.unlike)
        )

    def _one_of(self, box: Box) -> Facts | None:
        name = find_name(box.like, box.unlike, self._effort)
        if name is None:
            return None
        axes = self.regions.axes
        return Facts(
            task=name,
            tags=box.tags,
            kind=a_word(KINDS, box.kinds),
            durability=a_word(DURABILITIES, box.durabilities),
            latency_budget_ns=axes.a_budget(box.budgets),
            payload=axes.a_size(box.sizes),
        )
