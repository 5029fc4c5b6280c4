"""The tasks of every contestant: nothing to do, and when it was done.

Times are those of CLOCK_MONOTONIC, which all processes of a Linux machine share.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

_late: list[int] = []


def nothing(_payload: Any = None) -> None:
    """A call that costs what calling costs."""


def hold(gate: Any) -> None:
    """Keep a worker busy: what comes after it waits."""
    gate.wait()


def stamp(intended: int, _payload: Any = None) -> None:
    """Remember how long after the intended moment this first line is run."""
    _late.append(monotonic_ns() - intended)


def collect() -> list[int]:
    """What was remembered since this was last asked. The last of a queue with one worker: it ends a run."""
    global _late
    said, _late = _late, []
    return said
