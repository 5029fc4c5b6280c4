"""Ids of calls: a prefix drawn once per process, and a counter. Formatted only when somebody reads one."""

from __future__ import annotations

import secrets
from itertools import count

from dispatch._fork import renew_in_child


class IdSpace:
    """The ids one process gives. A forked child gets a space of its own, so that no id is given twice."""

    __slots__ = ("number", "prefix")

    def __init__(self) -> None:
        self.prefix = secrets.token_hex(8)
        self.number = count(1).__next__
        """The next number; an attribute, since a method around it would cost as much again."""

    def text(self, number: int) -> str:
        return f"{self.prefix}-{number:x}"


class _Here:
    """Holds this process's space; one attribute, so that a fork can replace it for everybody at once."""

    __slots__ = ("space",)

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.space = IdSpace()


here = _Here()
renew_in_child(here.renew)
