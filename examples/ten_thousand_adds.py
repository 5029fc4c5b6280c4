"""Ten thousand calls of `add(i, i)`, sent one by one, on the path that the policy names.

python examples/ten_thousand_adds.py --policy examples/policies/local.yaml
python examples/ten_thousand_adds.py --policy examples/policies/celery.yaml
"""

import argparse
import os
from collections import Counter
from pathlib import Path
from time import perf_counter

import dispatch
from _servers import servers

POLICIES = Path(__file__).parent / "policies"

if "DISPATCH_BROKER_URL" in os.environ:
    app = dispatch.celery_app()  # where `celery -A ten_thousand_adds worker` looks


@dispatch.task
def add(a: int, b: int) -> int:
    return a + b


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=POLICIES / "local.yaml", help="default: policies/local.yaml")
    parser.add_argument("--count", type=int, default=10_000, help="how many calls (default 10000)")
    arguments = parser.parse_args()
    count = arguments.count

    with servers(arguments.policy, "ten_thousand_adds", processes=2):
        dispatch.configure(policy=arguments.policy)
        add.delay(1, 1).result(timeout=30)  # connections and threads are there now

        began = perf_counter()
        handles = [add.delay(i, i) for i in range(count)]
        sent = perf_counter()
        total = sum(handle.result(timeout=60) for handle in handles)
        done = perf_counter()
        paths = Counter(handle.decision.transport for handle in handles)
        dispatch.shutdown()

    print(f"{count} calls: {', '.join(f'{number} through {path}' for path, number in paths.items())}")
    print(f"sent in     {sent - began:7.3f} s, {(sent - began) / count * 1e6:8.1f} µs each")
    print(f"to result   {done - began:7.3f} s, {(done - began) / count * 1e6:8.1f} µs each")
    print(f"sum         {total}")
    return 0 if total == count * (count - 1) else 1


if __name__ == "__main__":
    raise SystemExit(main())
