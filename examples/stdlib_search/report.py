"""What the run cost, read from its trace files: calls by rule and task, and each path's overhead."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dispatch.telemetry.traces import CallRecord, read

PARTS: dict[str, Callable[[CallRecord], float | None]] = {
    "decide": lambda call: call.decide_us,
    "serialize": lambda call: call.serialize_us,
    "enqueue": lambda call: call.enqueue_us,
    "wait": lambda call: call.wait_us,
}
"""The parts of a call's overhead, in the order in which they pass. `enqueue` is the publish, on Celery."""


@dataclass(frozen=True)
class Quantiles:
    """Microseconds; `None` when no call says."""

    median: float | None
    p99: float | None


@dataclass(frozen=True)
class Share:
    """The calls of one task that one rule sent to one destination."""

    rule: str
    destination: str
    transport: str
    task: str
    calls: int
    wait: Quantiles
    passed_over: dict[str, int]
    """`destination:why`, and how often."""


@dataclass(frozen=True)
class PathCost:
    """All calls of one transport, and what each part of their overhead took."""

    transport: str
    calls: int
    overhead: dict[str, Quantiles]


@dataclass(frozen=True)
class Costs:
    """The report."""

    calls: int
    rules: list[Share]
    paths: list[PathCost]
    example: str
    """The id of a trace that is worth a look."""


def costs(directory: Path, example: str) -> Costs:
    """Read the trace files in `directory`; one trace of the task `example` is to be shown."""
    calls = list(read(directory).calls())
    by_rule = Counter(call.rule for call in calls)
    shares = [_share(group) for group in _groups(calls, lambda call: (call.rule, call.destination, call.task))]
    return Costs(
        calls=len(calls),
        rules=sorted(shares, key=lambda share: (-by_rule[share.rule], share.rule, share.destination)),
        paths=[_path(group) for group in _groups(calls, lambda call: call.transport)],
        example=next((call.trace_id for call in reversed(calls) if call.task == example and call.worker), ""),
    )


def show(report: Costs, console: Console) -> None:
    """Two tables, 80 columns wide: which way the calls went, and what each path cost."""
    title = f"{report.calls} calls, and how long they waited (median, 99th percentile)"
    ways = _table(title, "rule", "task", "sent to", "path", right=("calls", "wait", "p99"))
    before = ""
    for share in report.rules:
        rule, before = "" if share.rule == before else share.rule, share.rule
        wait = _duration(share.wait.median), _duration(share.wait.p99)
        ways.add_row(rule, share.task, share.destination, share.transport, str(share.calls), *wait)
    console.print(ways)
    for share in report.rules:
        for why, count in share.passed_over.items():
            console.print(f"  {count} of {share.task} to {share.destination}, passing over {why}")
    console.print()

    parts = ("enqueue/publish" if part == "enqueue" else part for part in PARTS)
    cost = _table("Overhead of a call", "path", right=("calls", "", *parts))
    for path in report.paths:
        quantiles = [path.overhead[part] for part in PARTS]
        cost.add_row(path.transport, str(path.calls), "median", *(_duration(each.median) for each in quantiles))
        cost.add_row("", "", "p99", *(_duration(each.p99) for each in quantiles))
    console.print(cost, "")


def how_to_look(report: Costs, directory: Path) -> str:
    """The command that shows the example's trace."""
    beside = Path(sys.executable).with_name("dispatch")
    program = "dispatch" if shutil.which("dispatch") else os.path.relpath(beside)
    return f"{program} traces show {report.example[:8]} --dir {directory}"


def as_json(report: Costs) -> dict[str, Any]:
    """The report for machines; microseconds."""
    return asdict(report)


def _groups(calls: Iterable[CallRecord], key: Callable[[CallRecord], object]) -> list[list[CallRecord]]:
    """Largest first."""
    groups: dict[object, list[CallRecord]] = {}
    for call in calls:
        groups.setdefault(key(call), []).append(call)
    return sorted(groups.values(), key=len, reverse=True)


def _share(calls: list[CallRecord]) -> Share:
    one = calls[0]
    return Share(
        rule=one.rule or "refused",
        destination=one.destination or "nowhere",
        transport=one.transport or "none",
        task=one.task.rpartition(".")[2],
        calls=len(calls),
        wait=_quantiles(call.wait_us for call in calls),
        passed_over=dict(Counter(why for call in calls for why in call.passed_over)),
    )


def _path(calls: list[CallRecord]) -> PathCost:
    overhead = {name: _quantiles(map(part, calls)) for name, part in PARTS.items()}
    return PathCost(calls[0].transport or "none", len(calls), overhead)


def _quantiles(values: Iterable[float | None]) -> Quantiles:
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return Quantiles(None, None)
    return Quantiles(ordered[ceil(len(ordered) * 0.5) - 1], ordered[ceil(len(ordered) * 0.99) - 1])


def _table(title: str, *left: str, right: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _duration(microseconds: float | None) -> str:
    if not microseconds:
        return "-"  # arguments that travel by reference take no time to serialize
    if microseconds < 1000:
        return f"{microseconds:.3g} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1e3:.3g} ms"
    return f"{microseconds / 1e6:.3g} s"
