"""Values as one would write them into a policy file."""

from __future__ import annotations

_UNITS = (("d", 86400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3))


def written(name: str, value: object) -> str | int | list[object] | None:
    """The value of the field `name`; `None` where it stands for something that no value says."""
    if name.endswith("_ns") and isinstance(value, int):
        return _duration(value)
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str | int) else None


def _duration(nanoseconds: int) -> str:
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if nanoseconds % factor == 0), ("ns", 1))
    return f"{nanoseconds // factor}{unit}"
