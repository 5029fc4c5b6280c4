"""Many callers at once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread
from time import perf_counter

CALLERS = 16


def together(call: Callable[[int], object], count: int) -> float:
    """Seconds in which sixteen threads have made `count` calls, each its share, one after the other."""
    start = Barrier(CALLERS + 1)

    def work(caller: int) -> None:
        start.wait()
        for i in range(caller, count, CALLERS):
            call(i)

    threads = [Thread(target=work, args=(caller,)) for caller in range(CALLERS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - began
