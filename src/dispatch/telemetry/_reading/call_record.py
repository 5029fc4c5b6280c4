"""What became of one call, gathered from its spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from dispatch.telemetry import _names as n
from dispatch.telemetry._reading.span import Process, Span
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
    attempts: int = 0
    """How often the body ran, as far as the files tell."""
    error: str | None = None
    """The `error.type` of the body, or of the refusal."""
    caller: Process
    worker: Process | None = None


def calls_of(trace: Trace) -> Iterator[CallRecord]:
    """One record for each `dispatch {task}` span of `trace`."""
    runs: dict[str, list[Span]] = {}
    for span in trace.spans:
        # `execute`, `process`, or the span of another instrumentation that carries our attributes.
        if n.START in span.attributes or n.WAIT in span.attributes:
            runs.setdefault(str(span.attributes.get(n.CALL)), []).append(span)
    for span in trace.spans:
        if span.scope == n.SCOPE and span.name.startswith("dispatch "):
            yield _record(span, runs.get(str(span.attributes.get(n.CALL)), ()))


def _record(span: Span, runs: Iterable[Span]) -> CallRecord:
    runs = tuple(runs)
    said = span.attributes
    # The first run tells how long the call waited, the last one how it ended.
    first = runs[0].attributes if runs else {}
    last = runs[-1] if runs else None
    failed = span if span.status == "error" else last
    passed = said.get(n.PASSED_OVER)
    return CallRecord(
        trace_id=span.trace_id,
        call_id=str(said.get(n.CALL, "")),
        task=str(said.get(n.TASK, span.name.removeprefix("dispatch "))),
        started_ns=span.start_ns,
        destination=_text(said.get(n.DESTINATION)),
        transport=_text(said.get(n.TRANSPORT)),
        rule=_text(said.get(n.RULE)),
        reason=_text(said.get(n.REASON)),
        passed_over=tuple(map(str, passed)) if isinstance(passed, list) else (),
        policy_version=_text(said.get(n.POLICY_VERSION)),
        durability=_text(said.get(n.DURABILITY)),
        latency_budget_us=_number(said.get(n.LATENCY_BUDGET)),
        predicted_start_us=_number(said.get(n.PREDICTED_START)),
        actual_start_us=_actual_start(span, runs[0]) if runs else None,
        payload_bytes=size if isinstance(size := said.get(n.PAYLOAD), int) else None,
        overhead_us=_number(said.get(n.OVERHEAD)),
        decide_us=_number(said.get(n.DECIDE)),
        serialize_us=_number(said.get(n.SERIALIZE)),
        enqueue_us=_number(said.get(n.ENQUEUE)),
        wait_us=_number(first.get(n.WAIT)),
        start_us=_number(first.get(n.START)),
        run_us=None if last is None else last.duration_ns / 1e3,
        attempts=len(runs),
        error=_text(failed.attributes.get(n.ERROR_TYPE, "error")) if failed and failed.status == "error" else None,
        caller=span.process,
        worker=None if last is None else last.process,
    )


def _actual_start(span: Span, run: Span) -> float | None:
    """Of a call whose `dispatch` span is `span` and whose first attempt is `run`, from the parts that they tell.

    In one process the spans' own times say it as well, and better where a worker was quicker than `delay` returned.
    """
    said, told = span.attributes, run.attributes
    wait, start = _number(told.get(n.WAIT)), _number(told.get(n.START))
    if wait is None or start is None or told.get(n.CLOCK_SKEWED):
        return None
    parts = (_number(said.get(n.SERIALIZE)) or 0.0) + wait + start
    if said.get(n.TRANSPORT) == "celery":
        return parts  # the wait begins before the broker has answered
    whole = (run.start_ns - span.start_ns) / 1e3 - (_number(said.get(n.DECIDE)) or 0.0)
    return max(0.0, min(parts + (_number(said.get(n.ENQUEUE)) or 0.0), whole))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
