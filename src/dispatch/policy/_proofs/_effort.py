"""How long a proof may be looked for."""

from __future__ import annotations


class Unsure(Exception):
    """The search was given up: nothing is proved, so nothing is said."""


class Effort:
    """Counts steps, not time, so that the same policy is judged alike on every machine."""

    def __init__(self, *, each: int, together: int) -> None:
        """At most `each` steps for one question, and `together` for all."""
        self._each = each
        self._together = together
        self._left = 0

    def begin(self) -> None:
        """Another question."""
        self._left = min(self._each, self._together)

    def spend(self, steps: int = 1) -> None:
        """Raises `Unsure` when none are left."""
        self._left -= steps
        self._together -= steps
        if self._left < 0:
            raise Unsure
