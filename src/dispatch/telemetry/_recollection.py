"""What the recorder remembers, as records of calls."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from opentelemetry.trace import SpanContext, format_trace_id

from dispatch._decision import Decision
from dispatch._recorder import Finished, recorder
from dispatch.policy import AtLeast
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._fault import kind_of
from dispatch.telemetry._overhead import Overhead
from dispatch.telemetry._reading.call_record import CallRecord
from dispatch.telemetry._reading.span import Process


def recorded() -> list[CallRecord]:
    """The calls that ended in this process, or left it, the last `DISPATCH_RECORDER` of them, the oldest first.

    The same records as `dispatch.telemetry.traces` gives, of every call and not of the sampled ones alone. Of a call
    that left for a broker or a spool, this process knows nothing from then on. No arguments and no results are in them.
    """
    anchor, here = Anchor(), this_process()
    return [_record(call, anchor, here) for call in recorder.calls()]


def this_process() -> Process:
    return Process(os.environ.get("OTEL_SERVICE_NAME") or "unknown", os.getpid())


def _record(call: Finished, anchor: Anchor, here: Process) -> CallRecord:
    spec = call.spec
    record = CallRecord(
        trace_id=format_trace_id(call.trace.trace_id) if isinstance(call.trace, SpanContext) else "",
        call_id=call.id,
        task=spec.name,
        kind=spec.kind,
        tags=tuple(sorted(spec.tags)),
        pin=spec.requirements.pin or None,
        # A worker knows only when the message was written.
        started_ns=anchor.at(call.entered or call.sent or call.taken),
        payload_bytes=None if call.payload is None else int(call.payload),
        payload_at_least=type(call.payload) is AtLeast,
        error=None if call.error is None else kind_of(call.error),
        caller=here if call.entered else Process("unknown"),
    )
    changes = (
        {} if call.decision is None else _of_decision(call.decision, taken=call.error is None or bool(call.started))
    )
    sent = call.sent or call.taken
    if sent and call.entered:
        paid = Overhead.of(call, sent)
        changes |= {
            "overhead_us": paid.total / 1e3,
            "decide_us": paid.decide / 1e3,
            "serialize_us": paid.serialize / 1e3,
            "enqueue_us": paid.enqueue / 1e3,
        }
    if call.started:
        known = bool(call.entered) and call.attempt == 1
        changes |= {
            "wait_us": max(0, call.taken - max(sent, call.due)) / 1e3 if call.entered or call.sent else None,
            "start_us": max(0, call.started - call.taken) / 1e3,
            "run_us": max(0, call.ended - call.started) / 1e3 if call.ended else None,
            "actual_start_us": max(0, call.started - max(call.decided, call.due)) / 1e3 if known else None,
            "attempts": call.attempt,
            "worker": here,
        }
    return msgspec.structs.replace(record, **changes)


def _of_decision(decision: Decision, *, taken: bool) -> dict[str, Any]:
    """`taken`: a destination has had the call."""
    budget, predicted = decision.latency_budget_ns, decision.predicted_start_ns
    return {
        "destination": decision.destination if taken else None,
        "transport": decision.transport if taken else None,
        "rule": decision.rule,
        "reason": decision.reason,
        "passed_over": tuple(f"{each.destination}:{each.why}" for each in decision.passed_over),
        "policy_version": decision.policy_version,
        "durability": decision.durability,
        "latency_budget_us": None if budget is None else budget / 1e3,
        "predicted_start_us": None if predicted is None else predicted / 1e3,
    }
