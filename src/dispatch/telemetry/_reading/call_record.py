"""What became of one call, gathered from its spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

import msgspec

from dispatch.telemetry import _names as n
from dispatch.telemetry._reading.delays import actual_start, made_ns
from dispatch.telemetry._reading.span import DEAD_LETTER, Process, Span
from dispatch.telemetry._reading.trace import Trace


class CallRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One call. What its spans do not say is `None`; times are microseconds unless their name says otherwise."""

    trace_id: str
    call_id: str
    task: str
    started_ns: int
    """When `delay` was called, in nanoseconds since 1970."""
    destination: str | None = None
    """`None` when no destination took it."""
    transport: str | None = None
    rule: str | None = None
    reason: str | None = None
    passed_over: tuple[str, ...] = ()
    """`destination:why`, in the order in which they were asked."""
    policy_version: str | None = None
    durability: str | None = None
    kind: str = "io"
    """The task's."""
    tags: tuple[str, ...] = ()
    """The task's."""
    pin: str | None = None
    """What the call was pinned to, in words."""
    payload_bytes: int | None = None
    payload_at_least: bool = False
    """Counting stopped there."""
    latency_budget_us: float | None = None
    predicted_start_us: float | None = None
    """From the decision to the task's first line, as predicted; known when a budget ranked the candidates."""
    actual_start_us: float | None = None
    """The same as it came; `None` also where two machines' clocks contradict each other."""
    overhead_us: float | None = None
    decide_us: float | None = None
    serialize_us: float | None = None
    enqueue_us: float | None = None
    wait_us: float | None = None
    start_us: float | None = None
    run_us: float | None = None
    """How long the body took, the last time it ran."""
    total_us: float | None = None
    """From `delay` to the end of the last of its spans."""
    attempts: int = 0
    """How often the body ran, as far as the files tell."""
    failed_attempts: int = 0
    """How many of those raised."""
    error: str | None = None
    """The `error.type` of the last attempt, or of the refusal."""
    dead_letter: str | None = None
    """Why it was given up for good."""
    run_trace_id: str | None = None
    """The trace of its last attempt, where that is another one."""
    caller: Process | None
    """`None`: the caller's side is not in the files."""
    worker: Process | None = None


def calls_of(trace: Trace) -> Iterator[CallRecord]:
    """One record for each call made in `trace`, from its spans alone; `Traces.calls` looks for runs in other traces."""
    sides = sides_of(trace.spans)
    for span in trace.spans:
        if span.is_call:
            yield record_of(span, sides.get(span.call_id, ()))


def sides_of(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """By call, the spans that tell how it went on when the caller had handed it over, in the order they began."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        if (span.is_run or DEAD_LETTER in span.attributes) and span.call_id:
            found.setdefault(span.call_id, []).append(span)
    for later in found.values():
        later.sort(key=lambda span: span.start_ns)
    return found


def record_of(call: Span | None, later: Sequence[Span]) -> CallRecord:
    """From the caller's side, and from what came later, in the order in which it began. One may be missing."""
    runs = [span for span in later if span.is_run]
    # The first run tells how long the call waited, the last one how it ended.
    first, last = (runs[0], runs[-1]) if runs else (None, None)
    about = call or (runs or later)[0]
    said, told = about.said, first.attributes if first is not None else {}
    refused = call is not None and call.status == "error" and not call.is_run
    failed = call if refused else later[-1] if later else None
    dead = next((str(why) for span in later if (why := span.attributes.get(DEAD_LETTER))), None)
    started_ns = _made_ns(about)
    return CallRecord(
        trace_id=about.trace_id,
        call_id=about.call_id,
        task=str(said.get(n.TASK, about.name.partition(" ")[2])),
        started_ns=started_ns,
        destination=_text(said.get(n.DESTINATION)),
        transport=_text(said.get(n.TRANSPORT)),
        rule=_text(said.get(n.RULE)),
        reason=_text(said.get(n.REASON)),
        passed_over=tuple(map(str, passed)) if isinstance(passed := said.get(n.PASSED_OVER), list) else (),
        policy_version=_text(said.get(n.POLICY_VERSION)),
        durability=_text(said.get(n.DURABILITY)),
        latency_budget_us=_number(said, n.LATENCY_BUDGET),
        predicted_start_us=_number(said, n.PREDICTED_START),
        actual_start_us=_actual_start(call, first) if call is not None and first is not None else None,
        payload_bytes=size if isinstance(size := said.get(n.PAYLOAD), int) else None,
        overhead_us=_number(said, n.OVERHEAD),
        decide_us=_number(said, n.DECIDE),
        serialize_us=_number(said, n.SERIALIZE),
        enqueue_us=_number(said, n.ENQUEUE),
        wait_us=_number(told, n.WAIT),
        start_us=_number(told, n.START),
        run_us=None if last is None else last.duration_ns / 1e3,
        total_us=max(0, max(span.end_ns for span in (about, *later)) - started_ns) / 1e3,
        attempts=len(runs),
        failed_attempts=sum(run.status == "error" for run in runs),
        error=_text(failed.attributes.get(n.ERROR_TYPE, "error")) if failed and failed.status == "error" else dead,
        dead_letter=dead,
        run_trace_id=last.trace_id if last is not None and last.trace_id != about.trace_id else None,
        caller=None if call is None else call.process,
        worker=None if last is None else last.process,
    )


def _made_ns(span: Span) -> int:
    """When `delay` was called, as far as `span` tells."""
    if not span.is_run:
        return span.start_ns
    said = span.attributes
    return made_ns(span.start_ns, *(_number(said, part) or 0.0 for part in (n.OVERHEAD, n.WAIT, n.START)))


def _actual_start(call: Span, run: Span) -> float | None:
    said, told = call.attributes, run.attributes
    wait, start = _number(told, n.WAIT), _number(told, n.START)
    if wait is None or start is None or told.get(n.CLOCK_SKEWED):
        return None
    return actual_start(
        transport=str(said.get(n.TRANSPORT)),
        decide=_number(said, n.DECIDE) or 0.0,
        serialize=_number(said, n.SERIALIZE) or 0.0,
        enqueue=_number(said, n.ENQUEUE) or 0.0,
        wait=wait,
        start=start,
        apart=inf if run is call else (run.start_ns - call.start_ns) / 1e3,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(said: Mapping[str, object], name: str) -> float | None:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
