"""The `process {task}` span, in the Celery worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Tracer, get_current_span, set_span_in_context

from dispatch._clock import ticks
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import Attributes
from dispatch.telemetry._execution import Execution
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry._waybill import sent_at, unpack


def processing(
    task_name: str,
    headers: Mapping[str, Any],
    *,
    call_id: str,
    queue: str,
    system: str,
    durability: str,
    attempt: int,
    taken: int,
) -> Execution | None:
    """Make `process {task}` current for the body that is about to run. Never raises.

    Its parent is the `publish` span that the headers name, and it is linked to it too. `taken` is when the worker
    got the message, in `ticks`. `None`: nobody takes spans, or somebody else's span is already current for this
    message; that one then carries our attributes.
    """
    tracer = listener.current()
    if tracer is None:
        return None
    with harmless:
        anchor = Anchor()
        taken = _moment(taken, anchor.ticks)
        attributes: Attributes = {
            n.TASK: task_name,
            n.CALL: call_id,
            n.TRANSPORT: "celery",
            n.DURABILITY: durability,
            **unpack(headers),
            **_of_wait(headers, anchor.at(taken)),
            n.START: (anchor.ticks - taken) / 1e3,
        }
        if attempt > 1:
            attributes[n.ATTEMPT] = attempt
        current = get_current_span()
        if current.get_span_context().is_valid and not current.get_span_context().is_remote:
            current.set_attributes(attributes)
            return None
        messaging: Attributes = {
            n.SYSTEM: system,
            n.OPERATION_NAME: "process",
            n.OPERATION_TYPE: "process",
            n.QUEUE: queue,
            n.MESSAGE: call_id,
        }
        return _processing(tracer, f"process {task_name}", headers, {**attributes, **messaging}, anchor)
    return None


def _processing(
    tracer: Tracer, name: str, headers: Mapping[str, Any], attributes: Attributes, anchor: Anchor
) -> Execution:
    # Propagators expect text and stumble over anything else that a message may carry.
    carrier = {key: value for key, value in headers.items() if isinstance(value, str)}
    context = propagate.extract(carrier, get_current())
    creation = get_current_span(context).get_span_context()
    started = ticks()
    if listener.drops(creation):
        return Execution(INVALID_SPAN, context, anchor, started)
    span = tracer.start_span(
        name,
        context,
        SpanKind.CONSUMER,
        attributes=attributes,
        links=[Link(creation)] if creation.is_valid else (),
        start_time=anchor.at(started),
    )
    return Execution(span, set_span_in_context(span, context), anchor, started)


def _moment(taken: object, now: int) -> int:
    """`taken`, unless it cannot be true: it may have come in a message, from another machine's clock."""
    return taken if isinstance(taken, int) and 0 < taken <= now else now


def _of_wait(headers: Mapping[str, Any], taken: int) -> Attributes:
    sent = sent_at(headers)
    if sent is None:
        return {}
    # Two machines, two clocks: a worker cannot have had the message before it was written.
    return {n.WAIT: (taken - sent) / 1e3} if taken >= sent else {n.WAIT: 0.0, n.CLOCK_SKEWED: True}
