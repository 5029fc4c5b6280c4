"""Sizes and durations as people write them: `64KiB`, `250ms`, `1m30s`. A bare number means nothing here."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache

import durationpy
from pydantic import ByteSize, TypeAdapter, ValidationError

_LONGEST = 10 * 365 * 24 * 3600
_SIZE_FORM = re.compile(r"\d+(\.\d+)? ?[KMGTPE]?i?B", re.ASCII | re.IGNORECASE)
_SHARE_FORM = re.compile(r"(\d+(?:\.\d+)?) ?%", re.ASCII)
_DURATION_FORM = re.compile(r"(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h|d|w))+", re.ASCII)


@cache
def _byte_size() -> TypeAdapter[ByteSize]:
    """Made when it is needed: that takes a twentieth of `import dispatch`."""
    return TypeAdapter(ByteSize)


def size(text: str) -> int:
    """Bytes in `text`, such as `512B`, `64KiB` or `1.5MB`. Raises `ValueError` with the cure."""
    # `ByteSize` also takes a bare number, a sign, bits and other alphabets' digits.
    if _SIZE_FORM.fullmatch(text):
        try:
            return int(_byte_size().validate_python(text))
        except ValidationError:
            pass
    raise ValueError(f"{text!r} is not a size: write a number and a unit, such as 512B, 64KiB or 1MiB")


def share(text: str) -> float | None:
    """The fraction that `text`, such as `90%`, says; `None`: it is none, or not above 0 and up to 100."""
    found = _SHARE_FORM.fullmatch(text)
    value = None if found is None else float(found[1]) / 100
    return value if value is not None and 0 < value <= 1 else None


def duration_ns(text: str) -> int:
    """Nanoseconds in `text`, such as `250ms`, `2s` or `1m30s`. Raises `ValueError` with the cure."""
    # durationpy overlooks what stands between two parts (`1s-2s`), and reads `mm` as months.
    if _DURATION_FORM.fullmatch(text):
        try:
            return round(durationpy.from_str(text).total_seconds() * 1e9)
        except (durationpy.DurationError, OverflowError):
            pass
    raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 250ms, 2s or 1m30s")


def as_duration_ns(value: str | float | timedelta, *, or_none: bool = False) -> int:
    """Nanoseconds in a duration from Python code: text with a unit, a number of seconds, or a `timedelta`.

    Zero only with `or_none`. Raises `ValueError` with the cure.
    """
    if isinstance(value, str):
        return 0 if or_none and value == "0" else duration_ns(value)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not (0 < seconds < _LONGEST or (or_none and seconds == 0)):
        raise ValueError(f"{value!r} is not a duration: it must be above zero, such as 0.25, '250ms' or a timedelta")
    return round(seconds * 1e9)


def show_duration(nanoseconds: float) -> str:
    """The form a person reads at a glance: `0.4 µs`, `12 ms`, `1.5 s`."""
    for unit, factor in (("s", 1e9), ("ms", 1e6)):
        if abs(nanoseconds) >= 0.9995 * factor:  # three digits are shown: what rounds up to the next unit is of it
            return f"{nanoseconds / factor:.3g} {unit}"
    return f"{nanoseconds / 1e3:.3g} µs"


def show_size(amount: int) -> str:
    """The largest binary unit of which there is at least one: `512 B`, `1.5 MiB`."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount >= factor:
            return f"{amount / factor:.3g} {unit}"
    return f"{amount} B"
