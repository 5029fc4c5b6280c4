"""The `forward {destination}` span: a call that lay on disk is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context

from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import Attributes
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry._relation import linked_to
from dispatch.telemetry.messages._carried import carried
from dispatch.telemetry.messages._conventions import Server, of_message
from dispatch.telemetry.messages._instrumentation import spans_each_publish
from dispatch.telemetry.messages._publication import Publication, within


def forwarding(
    task_name: str,
    headers: Mapping[str, Any],
    *,
    call_id: str,
    destination: str,
    queue: str,
    system: str,
    size: int,
    server: Server | None = None,
    routing_key: str | None = None,
) -> Publication:
    """Begin to publish a call that was kept on disk, in whichever process; `headers` are those it was kept with.

    The span is below the one that handed the call over, and linked to it; the publication's headers, to be laid over
    the others, have the worker's below this one. Never raises.
    """
    with harmless:
        tracer = listener.current()
        above = carried(headers)
        creation = get_current_span(above).get_span_context()
        if tracer is None or listener.drops(creation):
            return Publication({}, within(above))
        anchor = Anchor()
        message = of_message("send", call_id, queue=queue, system=system, server=server, routing_key=routing_key)
        attributes: Attributes = {n.TASK: task_name, n.CALL: call_id, n.DESTINATION: destination}
        span = tracer.start_span(
            f"forward {destination}",
            above,
            # One producer for one message: where Celery's instrumentation makes its span below this one, it is that.
            SpanKind.INTERNAL if spans_each_publish() else SpanKind.PRODUCER,
            attributes={**attributes, **message, n.BODY_SIZE: size},
            links=linked_to(creation),
            start_time=anchor.wall,
        )
        context = set_span_in_context(span, above)
        publication = Publication({}, within(context), span, anchor)
        with harmless:
            propagate.inject(publication.headers, context)
        return publication
    return Publication({})
