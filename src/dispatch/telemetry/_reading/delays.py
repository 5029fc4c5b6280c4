"""Arithmetic over the parts of a call's way to its body. Microseconds, unless a name says nanoseconds."""

from __future__ import annotations


def actual_start(
    *, transport: str, decide: float, serialize: float, enqueue: float, wait: float, start: float, apart: float
) -> float:
    """From the decision to the task's first line; `apart` is from the caller's span to that of the first run.

    In one process the spans' own times say it as well as the parts, and better where a worker was quicker than `delay`
    returned.
    """
    if transport == "spool":
        return max(0.0, apart - decide)  # on disk nobody measures a wait
    if transport == "celery":
        return serialize + wait + start  # the wait begins before the broker has answered
    return max(0.0, min(serialize + enqueue + wait + start, apart - decide))


def made_ns(ran_ns: int, overhead: float, wait: float, start: float) -> int:
    """When `delay` was called, of a call whose only span begins with its body."""
    return ran_ns - round((overhead + wait + start) * 1e3)
