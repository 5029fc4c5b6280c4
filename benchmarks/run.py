"""`make bench`: both paths against what they replace, in one run, interleaved, best of several.

Read the ratios: the machine's speed changes from minute to minute, and the cases take turns for that reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dispatch.embedded import broker, worker

if TYPE_CHECKING:
    from benchmarks.cases import Case

HERE = Path(__file__).parent
PACKAGES = ("celery", "kombu", "redis", "msgspec", "opentelemetry-api")

BARS = {
    "dispatch local, to result": 0.5,
    "dispatch through Celery on Redis, publish": 1.0,
}
"""The most that a row may cost, as a share of what it is measured against."""


def main() -> int:
    arguments = _arguments()
    logging.getLogger("dispatch").setLevel(logging.ERROR)
    with broker() as server:
        os.environ["DISPATCH_BROKER_URL"] = os.environ["DISPATCH_RESULT_BACKEND"] = server.url
        os.environ.pop("DISPATCH_POLICY", None)
        import dispatch
        from benchmarks import cases

        dispatch.configure(policy=["default", HERE / "idle_queue.yaml"])
        with cases.local() as local:
            timed = _take_turns([*local, *cases.published()], arguments.rounds, "local and publish")
        dispatch.configure(policy="default")
        with worker("benchmarks.shop", directory=HERE.parent, pool="solo", concurrency=1):
            timed += _take_turns(cases.round_trips(), arguments.rounds, "round trips")
        dispatch.shutdown()

    best = {case.name: seconds for case, seconds in timed}
    rows = [
        {
            "case": case.name,
            "tasks": case.count,
            "microseconds": round(seconds * 1e6, 3),
            "against": case.against,
            "ratio": round(seconds / best[case.against], 3),
            "bar": BARS.get(case.name),
        }
        for case, seconds in timed
    ]
    if arguments.json:
        print(json.dumps({"versions": _versions(), "rounds": arguments.rounds, "rows": rows}, indent=2))
    else:
        _show(rows, arguments.rounds)
    missed = [row["case"] for row in rows if row["bar"] is not None and row["ratio"] > row["bar"]]
    if missed:
        print(f"above the bar: {', '.join(map(str, missed))}", file=sys.stderr)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=7, help="how often the cases take turns (default 7)")
    return parser.parse_args()


def _take_turns(group: list[Case], rounds: int, title: str) -> list[tuple[Case, float]]:
    """Each case with the best of its turns, in seconds for each task."""
    for case in group:
        case.seconds()  # connections, threads and caches are warm for everybody
    turns = [[case.seconds() for case in group] for _ in track(range(rounds), title, console=Console(stderr=True))]
    return [(case, min(taken) / case.count) for case, taken in zip(group, zip(*turns, strict=True), strict=True)]


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _show(rows: list[dict[str, Any]], rounds: int) -> None:
    table = Table(title=f"per task, best of {rounds}")
    table.add_column("case")
    table.add_column("tasks", justify="right")
    table.add_column("µs", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("bar", justify="right")
    for row in rows:
        table.add_row(
            row["case"],
            str(row["tasks"]),
            f"{row['microseconds']:.2f}",
            f"{row['ratio']:.2f}",
            "" if row["bar"] is None else f"{row['bar']:.2f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    console.print(" · ".join(f"{name} {number}" for name, number in _versions().items()), style="dim")


if __name__ == "__main__":
    sys.exit(main())
