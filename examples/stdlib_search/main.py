"""Build a full-text index over the source of this Python's standard library, search it, and show what dispatch did.

A broker and a worker are started for the length of the run, unless DISPATCH_BROKER_URL names a broker.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.text import Text

import dispatch
import index
import report
import sources
import surroundings
from dispatch import embedded, telemetry
from dispatch.policy import load

HERE = Path(__file__).parent
QUEUES = ("stdlib-search", "stdlib-search-later")
QUERIES = ("os.path", "robots.txt", "least recently used cache", "walk* directory tree", "detect_encoding")


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=arguments.json, width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        load([arguments.policy])  # a mistake in it is told before anything is started
        with surroundings.folder(arguments.keep) as folder, surroundings.broker(folder, arguments.policy) as broker:
            found = run(arguments, folder, broker, console)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except dispatch.PolicyError as error:
        print(error, file=sys.stderr)
        return 2
    except (dispatch.DispatchError, TimeoutError, OSError, sqlite3.Error) as error:
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        print("--keep FOLDER keeps the worker's log and all else.", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(found, indent=2))
    return 0


def run(arguments: argparse.Namespace, folder: Path, broker: embedded.Broker, console: Console) -> dict[str, Any]:
    """The job, a few queries, and the report; returns what `--json` prints."""
    import app  # noqa: PLC0415 - an application reads its environment when it is imported, and now it is there
    from job import Job  # noqa: PLC0415
    from progress import progress  # noqa: PLC0415

    paths = _files(arguments)
    console.print(f"{len(paths)} files of Python {platform.python_version()} under {sources.LIBRARY}")
    work = Job(paths)
    with embedded.worker("app", directory=HERE, queues=QUEUES, log=folder / "worker.log"):
        durability = surroundings.vouch(app.create.delay)
        console.print(f"broker: {broker.source}, durability {durability}", soft_wrap=True)
        began = perf_counter()
        with progress(console, work.totals) as tell:
            work.run(tell)
        seconds = perf_counter() - began
    telemetry.flush()  # the worker wrote its last spans when it ended
    _check(work.segments, index.committed(app.INDEX))
    console.print(f"indexed {sum(work.segments.values())} files in {len(work.segments)} segments: {seconds:.1f} s")
    for path, trouble in work.troubles.items():
        console.print(f"  {path}: {trouble}")
    answers = [_answer(app.INDEX, query, console) for query in arguments.query or QUERIES]
    costs = report.costs(folder / "traces", example=app.commit.name)
    console.print()
    report.show(costs, console)
    look = report.how_to_look(costs, folder / "traces")
    console.print(f"One of the {app.commit.name} calls, from here to the worker:\n  {look}", soft_wrap=True)
    return {
        "python": platform.python_version(),
        "broker": {"source": broker.source, "durability": durability},
        "policy": os.environ["DISPATCH_POLICY"].split(","),
        "seconds": round(seconds, 3),
        "files": len(paths),
        "segments": work.segments,
        "troubles": work.troubles,
        "queries": answers,
        "costs": report.as_json(costs),
        "look": look,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=HERE / "policy.yaml", help="where each call runs (policy.yaml)")
    parser.add_argument("--query", action="append", help="search for this instead; may be given several times")
    parser.add_argument("--files", type=int, metavar="N", help="index only N files, of all sizes")
    parser.add_argument("--tests", action="store_true", help="index the library's own tests too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave index, traces and logs in this new folder")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and all else on stderr")
    return parser.parse_args()


def _files(arguments: argparse.Namespace) -> list[Path]:
    if not index.has_fts5():
        raise SystemExit("the SQLite of this Python has no full-text search (FTS5): use another Python build")
    paths = sources.find(tests=arguments.tests)
    if arguments.files is not None:
        paths = sources.sample(paths, arguments.files)
    if not paths:
        raise SystemExit(f"there is no Python source under {sources.LIBRARY}")
    return paths


def _check(expected: dict[str, int], committed: dict[str, int]) -> None:
    if missing := expected.items() - committed.items():
        raise SystemExit(f"these segments were committed and are not in the index: {sorted(missing)}")


def _answer(path: Path, query: str, console: Console) -> dict[str, Any]:
    hits = index.search(path, query)
    console.print(Text(f"\n{query}", "bold"))
    for hit in hits:
        line = Text(f"  {hit.module:28} {' '.join(hit.snippet.split())}")
        line.highlight_regex("«.*?»", "bold yellow")
        console.print(line, no_wrap=True, overflow="ellipsis")
    if not hits:
        console.print("  nothing")
    return {"query": query, "hits": [hit._asdict() for hit in hits]}


if __name__ == "__main__":
    raise SystemExit(main())
