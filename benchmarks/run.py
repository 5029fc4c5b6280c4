"""`make bench`: dispatch against what it replaces, in one run, interleaved, best of several.

Read the ratios: the machine's speed changes from minute to minute, and the cases take turns for that reason. The
exit status is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from benchmarks.report import Report
from benchmarks.turns import Turns
from dispatch.embedded import Server, worker

HERE = Path(__file__).parent


def main() -> int:
    arguments = _arguments()
    logging.getLogger("dispatch").setLevel(logging.ERROR)
    turns = Turns(arguments.rounds)
    with Server() as server:  # our own: what is published here is thrown away
        os.environ["DISPATCH_BROKER_URL"] = os.environ["DISPATCH_RESULT_BACKEND"] = server.url
        os.environ.pop("DISPATCH_POLICY", None)
        import dispatch
        from benchmarks import broker as brokered
        from benchmarks import cores, handover, imports, local, loops, outage, policies, queued, traces

        turns.take("hand-over", handover.cases())
        with local.cases(dispatch.configure(policy="default")) as cases:
            turns.take("local", cases)
        with traces.cases() as cases:
            turns.take("traces", cases)
        with loops.cases() as cases:
            turns.take("the caller's loop", cases)
        with queued.cases() as cases:
            turns.take("queued", cases)
        with cores.cases() as cases:
            turns.take("two cores", cases)
        turns.take("imports", imports.cases())
        with policies.cases() as cases:
            turns.take("policies", cases)
        dispatch.configure(policy=["default", HERE / "policies" / "idle_queue.yaml"])
        turns.take("publish", brokered.publishes(server.url))
        dispatch.configure(policy="default")
        with worker("benchmarks.shop", directory=HERE.parent, pool="solo", concurrency=1):
            turns.take("round trips", brokered.round_trips())
        dispatch.shutdown()
        with outage.cases() as cases:
            turns.take("outage", cases)
        rooms = (handover, local, traces, brokered, outage, queued, loops, cores, imports, policies)
        bars = [bar for room in rooms for bar in room.BARS]

    report = Report(turns, bars)
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        report.show()
    missed = [bar.case for bar in report.missed]
    if missed:
        print(f"above the bar: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, times in seconds")
    parser.add_argument(
        "--rounds", type=int, default=9, help="how often the cases take turns, at the least (default 9)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
