"""The process that calls: one contestant and one measure, told in its arguments, said as one line of JSON.

Alone in its process, so that its memory and its processor time are its own.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from statistics import quantiles
from time import monotonic_ns, perf_counter, process_time, sleep
from typing import Any

from benchmarks.compare.ways import MAKE, Way

_SPIN_NS = 200_000
"""A sleep ends late by some tens of microseconds: the last stretch before a moment is spent awake."""


def throughput(way: Way, count: int) -> dict[str, Any]:
    """`count` calls that do nothing: what submitting costs, and how long until all have run."""
    way.nothing()
    way.drained()
    busy, began = process_time(), perf_counter()
    for _ in range(count):
        way.nothing()
    submitted = perf_counter()
    way.drained()
    ended = perf_counter()
    return {
        "count": count,
        "submit": (submitted - began) / count,
        "each": (ended - began) / count,
        "caller_cpu": (process_time() - busy) / count,
    }


def latency(way: Way, rate: float, count: int) -> dict[str, Any]:
    """Calls at a constant rate, each measured from the moment at which it should have been made.

    Waiting for a slow answer before the next question would hide what a caller waits for ("coordinated omission",
    G. Tene, "How NOT to Measure Latency").
    """
    way.stamp(monotonic_ns())
    way.drained()
    step = 1e9 / rate
    start = monotonic_ns() + 10_000_000
    for number in range(count):
        intended = start + round(number * step)
        _sleep_until(intended)
        way.stamp(intended)
    behind = monotonic_ns() - (start + round((count - 1) * step))
    late = sorted(way.drained())
    cuts = quantiles(late, n=100, method="inclusive")
    return {
        "rate": rate,
        "count": count,
        "p50": cuts[49] / 1e9,
        "p99": cuts[98] / 1e9,
        # It could not even be submitted as fast, or waited longer and longer.
        "saturated": behind > count * step * 0.1 or cuts[98] > count * step * 0.5,
    }


def payload(way: Way, size: int, count: int) -> dict[str, Any]:
    """Calls with so many bytes of text as their argument."""
    text = "x" * size
    way.nothing(text)
    way.drained()
    began = perf_counter()
    for _ in range(count):
        way.nothing(text)
    submitted = perf_counter()
    way.drained()
    ended = perf_counter()
    return {"size": size, "count": count, "submit": (submitted - began) / count, "each": (ended - began) / count}


def memory(way: Way, count: int) -> dict[str, Any]:
    """Stands still at rest, with `count` calls waiting, and when they have run, for somebody to look from outside."""
    way.nothing()
    way.drained()
    _stand("rest")
    gate = threading.Event()
    way.hold(gate)
    for _ in range(count):
        way.nothing()
    _stand("waiting")
    gate.set()
    way.drained()
    _stand("drained")
    return {"count": count}


def _stand(phase: str) -> None:
    print(json.dumps({"phase": phase}), flush=True)
    sys.stdin.readline()


def _sleep_until(moment: int) -> None:
    while (left := moment - monotonic_ns()) > 0:
        if left > _SPIN_NS:
            sleep((left - _SPIN_NS) / 1e9)


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "throughput": throughput,
    "latency": latency,
    "payload": payload,
    "memory": memory,
}


def main() -> None:
    key, measure, *rest = sys.argv[1:]
    way = MAKE[key]()
    try:
        print(json.dumps(MEASURES[measure](way, *map(json.loads, rest))), flush=True)
    finally:
        way.close()


if __name__ == "__main__":
    main()
