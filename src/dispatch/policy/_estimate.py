"""How large arguments would be as JSON, told without encoding them."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

MOST_NODES = 10_000
"""Values looked at; what lies beyond makes the estimate an "at least"."""


class AtLeast(int):
    """A size at which counting stopped: the real one is this or more."""

    __slots__ = ()


Estimate: TypeAlias = int | None
"""Bytes; `AtLeast` when counting stopped early; `None`: unknown, for there is a value of a type that JSON has not."""


class _Unknown(Exception):
    """A value that JSON cannot carry, as far as is known."""


# Every item is counted with the two bytes of its ", ". Kombu writes what JSON has no form for as
# {"__type__": "…", "__value__": "…"}, hence the larger figures.
_FIXED: dict[type, int] = {
    type(None): 6,
    bool: 7,
    float: 14,
    datetime: 76,
    date: 50,
    time: 56,
    UUID: 88,
    Decimal: 60,
}
_CONTAINER = 4
_FEW = 8
_SHORT_INT = 6
_BYTES = 46
_OTHER_KEY = 12
_SAMPLE = 64
_ALL = slice(0, MOST_NODES + 1)


def estimate(limit: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Estimate:
    """The size of these arguments as JSON, about; `AtLeast` as soon as it reaches `limit`.

    Looks at no more than `MOST_NODES` values, so a structure that contains itself ends too. Runs no code but
    Python's own: what an unknown object would say about itself is not asked.
    """
    if kwargs or len(args) > _FEW:
        return _counted(limit, args, kwargs)
    # A few short numbers and texts are what most calls carry: half the price of looking deeper.
    total = _CONTAINER
    for value in args:
        kind = type(value)
        if kind is int and -1_000_000 < value < 1_000_000:
            total += _SHORT_INT
        elif kind is str and value.isascii():
            total += len(value) + 4
        else:
            return _counted(limit, args, kwargs)
    return total if total < limit else _counted(limit, args, kwargs)


def _counted(limit: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Estimate:
    total = _CONTAINER
    room = MOST_NODES
    containers: list[Any] = [args, kwargs] if kwargs else [args]
    try:
        for container in containers:
            room -= len(container)
            values = container
            if type(container) is dict:
                values = container.values()
                total += _keys(container if room >= 0 else islice(container, room + len(container)))
            for value in values if room >= 0 else islice(values, room + len(container)):
                kind = type(value)
                if kind is int:
                    total += (value.bit_length() * 5 >> 4) + 3
                elif kind is str and value.isascii():
                    total += len(value) + 4
                elif kind is list or kind is tuple or kind is dict:
                    total += _CONTAINER
                    containers.append(value)
                else:
                    total += _FIXED.get(kind) or _other(value, kind, containers)
                if total >= limit:
                    return AtLeast(total)
            if room < 0:
                return AtLeast(total)
    except (_Unknown, RuntimeError):
        # RuntimeError: another thread changed a dict while it was looked at.
        return None
    return total


def _keys(keys: Any) -> int:
    total = 0
    for key in keys:
        kind = type(key)
        if kind is str:
            total += len(key) + 4
        elif issubclass(kind, str | int | float | type(None)):
            total += _OTHER_KEY
        else:
            raise _Unknown
    return total


def _other(value: Any, kind: type, containers: list[Any]) -> int:
    """A value that is not of the commonest types. Methods are the built-in types' own: a subclass is not asked."""
    if issubclass(kind, str):
        return _text(value)
    if issubclass(kind, bytes):
        return _BYTES + bytes.__len__(value) * 4 // 3
    if issubclass(kind, int):
        return (int.bit_length(value) * 5 >> 4) + 3
    if issubclass(kind, list):
        containers.append(list.__getitem__(value, _ALL))
    elif issubclass(kind, tuple):
        containers.append(tuple.__getitem__(value, _ALL))
    elif issubclass(kind, dict):
        containers.append(list(islice(dict.keys(value), MOST_NODES + 1)))
        containers.append(list(islice(dict.values(value), MOST_NODES + 1)))
    else:
        for known, size in _FIXED.items():
            if issubclass(kind, known):
                return size
        raise _Unknown
    return _CONTAINER


def _text(value: str) -> int:
    """JSON writes every character beyond ASCII as six bytes, or twelve; how many there are is told by a sample."""
    length = str.__len__(value)
    if str.isascii(value):
        return length + 4
    sample = str.__getitem__(value, slice(None, None, length // _SAMPLE + 1))
    extra = sum(11 if character > "\uffff" else 5 for character in sample if character > "\x7f")
    return length + 4 + extra * length // len(sample)
