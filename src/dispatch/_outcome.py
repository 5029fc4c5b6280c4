"""What user code did, as a value."""

from __future__ import annotations

import traceback
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

    def told(self) -> tuple[str, str]:
        """The error in one line and the traceback below it, as text; never raises."""
        lines = traceback.format_exception(type(self.error), self.error, self.traceback)
        return traceback.format_exception_only(self.error)[-1].strip(), "".join(lines)


Outcome: TypeAlias = Success | Failure
