"""What user code did, as a value."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeAlias

import msgspec


class Success(msgspec.Struct, frozen=True, eq=False):
    """The task returned."""

    value: Any


class Failure(msgspec.Struct, frozen=True, eq=False):
    """The task raised, or the call never ran and `error` says why."""

    error: BaseException
    traceback: TracebackType | None = None
    """The traceback as it was caught: raising the same error again must not make it longer each time."""


Outcome: TypeAlias = Success | Failure
