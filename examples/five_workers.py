"""Five workers drain ten thousand tasks from a buffered channel into a results channel, on the path a policy names.

With `policies/local.yaml` the buffered channel is that of a pool with five threads; with `policies/celery.yaml` it is
a queue in the broker, and the workers are five processes. The program is the same: the results arrive in a channel,
which is closed when all are done. `five_workers_channels.py` has it without tasks.

python examples/five_workers.py --policy examples/policies/local.yaml
python examples/five_workers.py --policy examples/policies/celery.yaml
"""

import argparse
import os
import threading
from collections import Counter
from pathlib import Path
from time import perf_counter

import dispatch
from _servers import servers

POLICIES = Path(__file__).parent / "policies"
WORKERS = 5

if "DISPATCH_BROKER_URL" in os.environ:
    app = dispatch.celery_app()  # where `celery -A five_workers worker` looks


@dispatch.task
def double(number: int) -> tuple[int, str]:
    """Twice the number, and who worked it out."""
    return number + number, f"{os.getpid()}/{threading.current_thread().name}"


class Results:
    """A channel that gets each call's result as it comes, and is closed when `count` calls are done."""

    def __init__(self, count: int, buffer: int = 100) -> None:
        self.channel: dispatch.Channel[dispatch.Handle[tuple[int, str]]] = dispatch.Channel(buffer)
        self._missing = count
        self._lock = threading.Lock()

    def take(self, handle: dispatch.Handle[tuple[int, str]]) -> None:
        """The done-callback; it runs in the thread that ended the call."""
        self.channel.send(handle)
        with self._lock:
            self._missing -= 1
            last = not self._missing
        if last:
            self.channel.close()


def feed(count: int, results: Results) -> None:
    """Send every task; a full pool makes us wait."""
    try:
        for number in range(count):
            double.delay(number).add_done_callback(results.take)
    except dispatch.DispatchError:
        results.channel.close()  # or `main` would wait for results that nobody works out
        raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=POLICIES / "local.yaml", help="default: policies/local.yaml")
    parser.add_argument("--count", type=int, default=10_000, help="how many tasks (default 10000)")
    arguments = parser.parse_args()
    count = arguments.count

    with servers(arguments.policy, "five_workers", processes=WORKERS):
        dispatch.configure(policy=arguments.policy)
        results = Results(count)
        total, paths, workers = 0, Counter[str](), Counter[str]()
        began = perf_counter()
        threading.Thread(target=feed, args=(count, results), daemon=True).start()
        for handle in results.channel:  # until it is closed and drained
            doubled, worker = handle.result()
            total += doubled
            workers[worker] += 1
            paths[handle.decision.transport] += 1
        took = perf_counter() - began
        dispatch.shutdown()

    print(f"{count} tasks: {', '.join(f'{number} through {path}' for path, number in paths.items())}")
    print(f"{len(workers)} workers, with {', '.join(str(number) for number in sorted(workers.values()))} tasks")
    print(f"{took:.3f} s, {took / count * 1e6:.1f} µs each, sum {total}")
    return 0 if total == count * (count - 1) else 1


if __name__ == "__main__":
    raise SystemExit(main())
