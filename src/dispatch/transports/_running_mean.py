"""A mean of what was heard lately, which is forgotten when nothing more is heard."""

from __future__ import annotations

from math import exp

from dispatch._clock import ticks

_WINDOW = 1e9
"""Nanoseconds: of many readings, those of about the last second count."""

_MOST = 0.25
"""Of few, the last dozen: none moves the mean by more than a quarter of the way."""

KEPT = 5e9
_FADING = 10e9
"""Nanoseconds for which silence changes nothing, and the time constant with which the prior comes back after that."""


class RunningMean:
    """An exponentially weighted mean of readings that come at any time. Safe from any thread.

    A reading that comes `t` after the one before weighs `1 - exp(-t / window)`: the usual form for readings at uneven
    intervals (A. Eckner, "Algorithms for Unevenly Spaced Time Series"), here with an upper bound. Since nobody hears
    of a destination that gets no calls, knowledge fades: after a while of silence the mean goes back to `prior`.
    """

    __slots__ = ("_prior", "_state")

    def __init__(self, prior: float) -> None:
        self._prior = prior
        self._state = (prior, ticks())
        """The mean, and when it was heard. One store: of two readings at once, one may be lost, and never half."""

    def add(self, reading: float) -> None:
        now = ticks()
        mean = self._at(now)
        weight = min(_MOST, 1 - exp((self._state[1] - now) / _WINDOW))
        self._state = (mean + weight * (reading - mean), now)

    @property
    def value(self) -> float:
        return self._at(ticks())

    def _at(self, now: int) -> float:
        mean, heard = self._state
        silence = now - heard - KEPT
        return mean if silence <= 0 else self._prior + (mean - self._prior) * exp(-silence / _FADING)
