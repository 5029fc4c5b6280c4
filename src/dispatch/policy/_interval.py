"""A comparison such as `> 1MiB` or `10KiB..1MiB`, kept as the interval of whole numbers that it means."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec
from pydantic import BeforeValidator

from dispatch.policy._estimate import AtLeast
from dispatch.policy._mistake import Mistake
from dispatch.policy._quantity import ABOVE_ZERO, DURATION_FORM, SIZE_FORM, duration_ns, form, size

_ONE_SIDED = re.compile(r"(<=|>=|<|>)\s*(.*)", re.DOTALL)


class Interval(msgspec.Struct, frozen=True):
    """The numbers from `low` up to, but not including, `high`; without `high`, all from `low` on."""

    low: int
    high: int | None
    text: str
    """The comparison as it was written."""

    def holds(self, value: int | None) -> bool:
        """Whether `value` lies in it. What is unknown, or only known to be more than so much, is compared in vain."""
        if value is None or value < self.low:
            return False
        return self.high is None or (value < self.high and type(value) is not AtLeast)

    def verb(self, value: int) -> str:
        """What is true of a known `value`: `is > 1MiB` or `is not > 1MiB`."""
        return f"{'is' if self.holds(value) else 'is not'} {self.text}"

    @property
    def cuts(self) -> frozenset[int]:
        """Where the answer changes: it is the same for all values between two cuts."""
        ends = (self.low,) if self.high is None else (self.low, self.high)
        return frozenset(end for end in ends if end > 0)


def interval(text: str, amount: Callable[[str], int], example: str) -> Interval:
    """The interval that `text` means, with `amount` reading what is compared to. Raises `Mistake`."""
    below, dots, above = text.partition("..")
    if dots:
        return _between(text, amount(below.strip()), amount(above.strip()))
    compared = _ONE_SIDED.fullmatch(text.strip())
    if compared is None:
        raise Mistake(
            "bad-comparison",
            f"{text!a} is not a comparison",
            f'Write <, <=, > or >= and a value, or a range: "> {example}", "{example}..{example.replace("1", "8")}".',
        )
    sign, value = compared[1], amount(compared[2])
    if value == 0 and sign != ">":
        raise Mistake("zero", "everything is above zero", "Compare to more than zero, or remove the key.")
    if sign in (">", ">="):
        return Interval(value + (sign == ">"), None, text)
    return Interval(0, value + (sign == "<="), text)


def _between(text: str, low: int, high: int) -> Interval:
    if low >= high:
        raise Mistake(
            "empty-range", f"nothing lies in {text!a}", "Write the smaller bound first; the upper one is not included."
        )
    return Interval(low, high, text)


def _reader(amount: Callable[[str], int], example: str) -> Callable[[object], Interval]:
    def read(value: object) -> Interval:
        if isinstance(value, Interval):
            return value
        if not isinstance(value, str):
            raise Mistake(
                "wrong-shape", "a comparison is expected here", f'Write it as one text, such as "> {example}".'
            )
        return interval(value, amount, example)

    return read


def _form(amount: str) -> str:
    """What editors are told of a comparison to an `amount`."""
    return rf"\s*(>\s*{amount}|(<|<=|>=)\s*{ABOVE_ZERO}{amount}|{amount}\s*\.\.\s*{amount})\s*"


SizeInterval: TypeAlias = Annotated[
    Interval, BeforeValidator(_reader(size, "1MiB")), form(_form(SIZE_FORM), "> 1MiB", "<= 64KiB", "10KiB..1MiB")
]
DurationInterval: TypeAlias = Annotated[
    Interval, BeforeValidator(_reader(duration_ns, "1s")), form(_form(DURATION_FORM), "< 50ms", ">= 1s", "10ms..1s")
]
