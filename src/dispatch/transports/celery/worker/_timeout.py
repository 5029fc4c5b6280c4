"""A task's `timeout` in a worker, as Celery's time limits: the soft one ends the attempt, the hard one its process."""

from __future__ import annotations

from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from dispatch._outcome import Failure, Outcome
from dispatch._registry import TaskSpec
from dispatch._units import show_duration
from dispatch.errors import CallTimeout

_TO_CLEAN_UP = 5.0
"""Seconds that a task has, once it was told that its time is over."""


def time_limits(spec: TaskSpec) -> dict[str, Any]:
    """Celery's options for the task. Coroutines need none: they are cancelled on their loop."""
    if spec.timeout_ns is None or spec.coroutine:
        return {}
    seconds = spec.timeout_ns / 1e9
    return {"soft_time_limit": seconds, "time_limit": seconds + _TO_CLEAN_UP}


def without_soft_limit(spec: TaskSpec, outcome: Outcome) -> Outcome:
    """The outcome, with our word for it when the task let Celery's soft limit end it."""
    if spec.timeout_ns is None or not isinstance(outcome, Failure):
        return outcome
    if not isinstance(outcome.error, SoftTimeLimitExceeded):
        return outcome
    return Failure(timed_out(spec), outcome.traceback)


def timed_out(spec: TaskSpec) -> CallTimeout:
    return CallTimeout(f"{spec.name} ran longer than its timeout of {show_duration(spec.timeout_ns or 0)}")
