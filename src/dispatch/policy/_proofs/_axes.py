"""The values that the numbered facts of a call may have, as few as no rule and no limit tells apart."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TypeVar, get_args

from dispatch._requirements import Durability, Kind
from dispatch.policy._estimate import MOST_NODES, AtLeast, Estimate
from dispatch.policy._facts import UNMEASURED, Payload
from dispatch.policy._interval import Interval
from dispatch.policy._proofs._box import Box

W = TypeVar("W", bound=str)

KINDS: tuple[Kind, ...] = get_args(Kind)
DURABILITIES: tuple[Durability, ...] = get_args(Durability)


class Axes:
    """Each value is a bit. Between two cuts all numbers are alike, so one of them stands for all.

    A budget is unset (bit 0) or a number. A payload is a size (the first bits), at least a size (the next ones) or
    unknown (the last). Counting stops early at the largest cut, where "at least" so much and just so much are told
    apart by nobody, or after `MOST_NODES` values, none of which counts less than a byte: so no "at least" below that
    is a case of its own.
    """

    def __init__(self, *, budget_cuts: Iterable[int], size_cuts: Iterable[int]) -> None:
        self._budgets = sorted({0, *budget_cuts})
        self._sizes = sorted({0, *size_cuts})
        self._budget_at = {begin: at for at, begin in enumerate(self._budgets)}
        self._size_at = {begin: at for at, begin in enumerate(self._sizes)}
        count = len(self._sizes)
        self._unknown = 1 << 2 * count
        ends = (*self._sizes[1:], MOST_NODES + 1)
        self._at_least = sum(1 << count + at for at, end in enumerate(ends) if end > MOST_NODES)
        self.whole = Box(
            kinds=(1 << len(KINDS)) - 1,
            durabilities=(1 << len(DURABILITIES)) - 1,
            budgets=(2 << len(self._budgets)) - 1,
            sizes=(1 << count) - 1 | self._at_least | self._unknown,
        )

    # ---- bits for what a rule or a limit says

    def kind(self, kind: str) -> int:
        return 1 << [*KINDS].index(kind)  # type: ignore[arg-type]

    def durability(self, durability: str) -> int:
        return 1 << [*DURABILITIES].index(durability)  # type: ignore[arg-type]

    def budgets_in(self, interval: Interval) -> int:
        high = len(self._budgets) if interval.high is None else self._budget_at[interval.high]
        return _between(self._budget_at[interval.low], high) << 1

    @property
    def unset(self) -> int:
        return 1

    def sizes_in(self, interval: Interval) -> int:
        low, count = self._size_at[interval.low], len(self._sizes)
        if interval.high is not None:
            return _between(low, self._size_at[interval.high])
        return _between(low, count) | _between(low, count) << count & self._at_least

    def sizes_within(self, limit: int | None) -> int:
        """What a destination with such a limit takes: what is unknown is not compared to it."""
        if limit is None:
            return self.whole.sizes
        fitting, count = _between(0, self._size_at[limit + 1]), len(self._sizes)
        return fitting | fitting << count & self._at_least | self._unknown

    # ---- one value that a set of bits stands for

    def a_budget(self, bits: int) -> int | None:
        return None if bits & 1 else self._budgets[_lowest(bits) - 1]

    def a_size(self, bits: int) -> Estimate:
        at, count = _lowest(bits & self.whole.sizes), len(self._sizes)
        if at < count:
            return self._sizes[at]
        return None if at == 2 * count else AtLeast(max(self._sizes[at - count], MOST_NODES))

    # ---- where one value lies

    def budget_bit(self, budget: int | None) -> int:
        return 1 if budget is None else 2 << _place(self._budgets, budget)

    def size_bit(self, size: Payload) -> int:
        if size is None or size is UNMEASURED:
            return self._unknown
        return 1 << _place(self._sizes, size) + (len(self._sizes) if type(size) is AtLeast else 0)


def a_word(words: tuple[W, ...], bits: int) -> W:
    return words[_lowest(bits)]


def _between(low: int, high: int) -> int:
    """The bits from `low` up to, but not including, `high`."""
    return (1 << high) - (1 << low) if high > low else 0


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _place(begins: list[int], value: int) -> int:
    return bisect_right(begins, value) - 1
