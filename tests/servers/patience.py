"""Waiting for a fact, with a deadline: the tests' only way to wait for what sends no signal of its own."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.01


def eventually(fact: Callable[[], T], *, within: float = 10.0, what: str = "") -> T:
    """The first true value of `fact()`. Fails when there is none within so many seconds."""
    end, pause = monotonic() + within, Event()
    while not (value := fact()):
        if monotonic() > end:
            message = what or getattr(fact, "__name__", "it")
            raise AssertionError(f"not within {within:g} s: {message} (last seen: {value!r})")
        pause.wait(_PAUSE)
    return value
