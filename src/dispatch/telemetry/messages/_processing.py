"""The `process {task}` span, in the Celery worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, SpanKind, Tracer, get_current_span, set_span_in_context

from dispatch._clock import ticks
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import Attributes
from dispatch.telemetry._execution import Execution
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry._relation import Relation, linked_to, relation_of
from dispatch.telemetry.messages._carried import carried
from dispatch.telemetry.messages._conventions import Server, of_message
from dispatch.telemetry.messages._waybill import made_at, moment_within, sent_at, unpack


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
    server: Server | None = None,
    routing_key: str | None = None,
) -> Execution | None:
    """Make `process {task}` current for the body that is about to run. Never raises.

    Its parent is the `publish` span that the headers name, unless `relation_of` wants it to be a root; it is linked
    to it either way. `taken` is when the worker got the message, in `ticks`. `None`: nobody takes spans, or somebody
    else's span is already current for this message; that one then carries our attributes.
    """
    tracer = listener.current()
    if tracer is None:
        return None
    with harmless:
        anchor = Anchor()
        taken = moment_within(taken, anchor.ticks)
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
        attributes |= of_message("process", call_id, queue=queue, system=system, server=server, routing_key=routing_key)
        made = made_at(headers)
        age_ns = 0 if made is None else anchor.wall - made
        relation = relation_of(age_ns=age_ns, attempt=attempt)
        return _processing(tracer, f"process {task_name}", headers, attributes, anchor=anchor, relation=relation)
    return None


def _processing(
    tracer: Tracer,
    name: str,
    headers: Mapping[str, Any],
    attributes: Attributes,
    *,
    anchor: Anchor,
    relation: Relation,
) -> Execution:
    context = carried(headers, get_current())
    creation = get_current_span(context).get_span_context()
    started = ticks()
    if relation == "link":
        # A root's own decision: drawing the caller's lots and then ours would leave next to nothing.
        context = set_span_in_context(INVALID_SPAN, context)
    elif listener.drops(creation):
        return Execution(INVALID_SPAN, context, anchor, started)
    span = tracer.start_span(
        name,
        context,
        SpanKind.CONSUMER,
        attributes=attributes,
        links=linked_to(creation),
        start_time=anchor.at(started),
    )
    return Execution(span, set_span_in_context(span, context), anchor, started)


def _of_wait(headers: Mapping[str, Any], taken: int) -> Attributes:
    sent = sent_at(headers)
    if sent is None:
        return {}
    # Two machines, two clocks: a worker cannot have had the message before it was written.
    return {n.WAIT: (taken - sent) / 1e3} if taken >= sent else {n.WAIT: 0.0, n.CLOCK_SKEWED: True}
