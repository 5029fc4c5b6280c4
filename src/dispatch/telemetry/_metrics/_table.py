"""Every metric that leaves this room, as docs/metrics.md has them."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["counter", "up_down", "gauge", "histogram"]
"""All but the histograms are observable: they are asked when somebody collects."""


class Metric(NamedTuple):
    """What an instrument is made of."""

    kind: Kind
    unit: str
    description: str
    boundaries: tuple[float, ...] = ()
    """Of a histogram's buckets, as advice."""


WHY = "dispatch.passed_over.why"
"""Why the first choice did not get the call."""
LEDGER_STATE = "dispatch.ledger.state"
SPOOL_STATE = "dispatch.spool.state"
OVERFLOW = "otel.metric.overflow"
"""On what was counted together, since there were too many combinations; the name is OpenTelemetry's."""

MOST = 1000
"""Combinations of attributes that are told apart."""

DISPATCHED = "dispatch.calls.dispatched"
COMPLETED = "dispatch.calls.completed"
REJECTED = "dispatch.calls.rejected"
FALLBACKS = "dispatch.calls.fallbacks"
DROPPED = "dispatch.telemetry.records.dropped"
FAILURES = "dispatch.telemetry.failures"

CALL_DURATION = "dispatch.call.duration"
WAIT_DURATION = "dispatch.queue.wait.duration"
TASK_DURATION = "dispatch.task.duration"
PREDICTION_LATE = "dispatch.prediction.late"
PREDICTION_EARLY = "dispatch.prediction.early"
DECISION_DURATION = "dispatch.decision.duration"
PAYLOAD_SIZE = "dispatch.payload.size"

QUEUE_SIZE = "dispatch.queue.size"
QUEUE_LIMIT = "dispatch.queue.limit"
QUEUE_PAYLOAD_SIZE = "dispatch.queue.payload.size"
QUEUE_PAYLOAD_LIMIT = "dispatch.queue.payload.limit"
QUEUE_DELAYED = "dispatch.queue.delayed"
QUEUE_AGE = "dispatch.queue.age"
WORKERS_BUSY = "dispatch.workers.busy"
WORKERS_LIMIT = "dispatch.workers.limit"
WORKERS_ABANDONED = "dispatch.workers.abandoned"
ALARM = "dispatch.destination.alarm"
BREAKER_STATE = "dispatch.breaker.state"
SPOOL_CALLS = "dispatch.spool.calls"
SPOOL_SIZE = "dispatch.spool.size"
SPOOL_LIMIT = "dispatch.spool.limit"
SPOOL_AGE = "dispatch.spool.age"
LEDGER_ENTRIES = "dispatch.ledger.entries"
PROCESS_MEMORY = "dispatch.process.memory"

_CALL = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 2, 5)
_WAIT = (1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)
_TASK = (
    *(1e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_ERROR = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60)
_DECISION = (2.5e-7, 5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 5e-5, 1e-4, 1e-3)
_BYTES = tuple(float(64 * 4**power) for power in range(9))

METRICS = {
    DISPATCHED: Metric("counter", "{call}", "Calls that a destination was given"),
    COMPLETED: Metric("counter", "{call}", "Calls that have ended, in the process that ran them"),
    REJECTED: Metric("counter", "{call}", "Calls that nobody took"),
    FALLBACKS: Metric("counter", "{call}", "Calls that did not go where their rule wanted them first"),
    DROPPED: Metric("counter", "{record}", "Calls that are counted, and are in no histogram"),
    FAILURES: Metric("counter", "{failure}", "Times that telemetry itself failed"),
    CALL_DURATION: Metric("histogram", "s", "From a call's entry until its destination has it", _CALL),
    WAIT_DURATION: Metric("histogram", "s", "From there until a worker takes it", _WAIT),
    TASK_DURATION: Metric("histogram", "s", "The body of a task", _TASK),
    PREDICTION_LATE: Metric("histogram", "s", "How much later than predicted a call has started", _ERROR),
    PREDICTION_EARLY: Metric("histogram", "s", "How much earlier than predicted a call has started", _ERROR),
    DECISION_DURATION: Metric("histogram", "s", "Choosing a destination", _DECISION),
    PAYLOAD_SIZE: Metric("histogram", "By", "The estimated size of encoded arguments", _BYTES),
    QUEUE_SIZE: Metric("up_down", "{call}", "Calls that wait"),
    QUEUE_LIMIT: Metric("up_down", "{call}", "Calls that may wait"),
    QUEUE_PAYLOAD_SIZE: Metric("up_down", "By", "Estimated payload of the calls that wait"),
    QUEUE_PAYLOAD_LIMIT: Metric("up_down", "By", "Estimated payload that may wait"),
    QUEUE_DELAYED: Metric("up_down", "{call}", "Calls that are delayed, or between two attempts"),
    QUEUE_AGE: Metric("gauge", "s", "For how long the oldest call has waited"),
    WORKERS_BUSY: Metric("up_down", "{worker}", "Workers that run a call"),
    WORKERS_LIMIT: Metric("up_down", "{worker}", "Workers that there may be"),
    WORKERS_ABANDONED: Metric("up_down", "{worker}", "Workers that are held by a call past its timeout"),
    ALARM: Metric("gauge", "{alarm}", "Whether memory is short, here or at the broker: 1 while nothing is taken"),
    BREAKER_STATE: Metric("gauge", "{state}", "The broker's breaker: 0 closed, 1 half open, 2 open"),
    SPOOL_CALLS: Metric("gauge", "{call}", "Calls on disk"),
    SPOOL_SIZE: Metric("gauge", "By", "What they count for"),
    SPOOL_LIMIT: Metric("gauge", "By", "What they may count for"),
    SPOOL_AGE: Metric("gauge", "s", "For how long the oldest call has been on disk"),
    LEDGER_ENTRIES: Metric("gauge", "{entry}", "Durable calls that Redis keeps"),
    PROCESS_MEMORY: Metric("up_down", "By", "Memory that this process holds"),
}
