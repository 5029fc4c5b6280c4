"""What the demo did, read from its traces: per task, which way its calls went and what that cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._explain import print_explanation
from dispatch.cli._printing import aligned, print_line
from dispatch.cli._waterfall import Waterfall
from dispatch.policy import Explanation
from dispatch.telemetry.traces import CallRecord, Summary, Trace, Traces, percentiles


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that the demo shows."""

    calls: int
    refused: int
    broker: str | None
    """Which server was started; `None`: none could be."""
    why_no_broker: str | None
    seconds: float
    tasks: dict[str, list[Summary]]
    explanation: Explanation
    example: Trace
    """A trace that is worth a look."""
    directory: str
    next_steps: dict[str, str]
    """What to look at next, and how."""


def by_task(traces: Traces) -> dict[str, list[Summary]]:
    """One summary for each way that calls of a task went; tasks in the order of their first calls."""
    calls: dict[str, list[CallRecord]] = {}
    for call in traces.calls():
        calls.setdefault(call.task, []).append(call)
    return {task: percentiles(calls[task]) for task in calls}


def as_json(report: Report) -> dict[str, Any]:
    said = {name: getattr(report, name) for name in ("calls", "refused", "broker", "why_no_broker", "seconds", "tasks")}
    return {
        **said,
        "explanation": report.explanation.to_dict(),
        "trace": report.example.id,
        "directory": report.directory,
        "next": report.next_steps,
    }


def show(report: Report, out: Console) -> None:
    """The table, one decision, one trace, and the way on."""
    served = f"a Celery worker on {report.broker}" if report.broker else "no broker"
    out.print(Text(f"{report.calls} calls in {report.seconds:.2g} s: a pool in this process, and {served}", "bold"))
    out.print(_table(report))
    out.print(
        Text("overhead: what the caller paid; wait: until a worker took it. Median, then 99th percentile.", "dim")
    )
    out.print(Text(f"\nWhy one call of {report.explanation.task} went where it went", "bold"))
    print_explanation(report.explanation, out)
    out.print(Text("\nOne trace, from the caller to the task's body", "bold"))
    out.print(Waterfall(report.example))
    out.print(Text("\nNext", "bold"))
    for line in aligned(list(report.next_steps.items())):
        print_line(out, f"  {line}")


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for heading in ("task", "sent to", "rule"):
        table.add_column(heading, overflow="fold")
    for heading in ("calls", "overhead", "p99", "wait", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in _rows(report.tasks):
        table.add_row(*map(Text, row))
    return table


def _rows(tasks: dict[str, list[Summary]]) -> Iterator[list[str]]:
    for task, ways in tasks.items():
        for way in ways:
            costs = (way.overhead_median_us, way.overhead_p99_us, way.wait_median_us, way.wait_p99_us)
            place = f"{way.destination} ({way.transport})" if way.destination else "nowhere: refused"
            times = ["-" if cost is None else show_duration(cost * 1e3) for cost in costs]
            yield [task, place, way.rule or "-", str(way.count), *times]
