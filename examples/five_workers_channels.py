"""Five workers drain ten thousand tasks from a buffered channel into a results channel: plain channels and threads.

The same program in Go has the same lines. `five_workers.py` has it as tasks that a policy routes.
"""

import argparse
import threading
from time import perf_counter

from dispatch import Channel

WORKERS = 5
BUFFER = 100


def worker(tasks: Channel[int], results: Channel[int]) -> None:
    """Take tasks until there are no more."""
    for number in tasks:
        results.send(number + number)


def feed(tasks: Channel[int], count: int) -> None:
    """Send every task, then say that this was all."""
    for number in range(count):
        tasks.send(number)
    tasks.close()


def close_when_done(workers: list[threading.Thread], results: Channel[int]) -> None:
    """Go's `go func() { group.Wait(); close(results) }()`."""
    for thread in workers:
        thread.join()
    results.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="how many tasks (default 10000)")
    count = parser.parse_args().count

    tasks, results = Channel[int](BUFFER), Channel[int](BUFFER)
    began = perf_counter()
    workers = [threading.Thread(target=worker, args=(tasks, results)) for _ in range(WORKERS)]
    closer = threading.Thread(target=close_when_done, args=(workers, results))
    for thread in [*workers, closer, threading.Thread(target=feed, args=(tasks, count))]:
        thread.start()
    total = sum(results)  # until the channel is closed and drained
    took = perf_counter() - began

    print(f"{count} tasks, {WORKERS} workers: {took:.3f} s, {took / count * 1e6:.1f} µs each, sum {total}")
    return 0 if total == count * (count - 1) else 1


if __name__ == "__main__":
    raise SystemExit(main())
