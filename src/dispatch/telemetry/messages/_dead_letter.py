"""The `dead-letter {task}` span: a call has failed for good, and is kept aside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanKind, get_current_span

from dispatch.errors import DeadLettered
from dispatch.telemetry import _names as n
from dispatch.telemetry._attributes import Attributes
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail, kind_of
from dispatch.telemetry._listener import listener
from dispatch.telemetry._relation import linked_to
from dispatch.telemetry.messages._carried import carried
from dispatch.telemetry.messages._conventions import Server, of_message


def dead_lettered(
    task_name: str,
    headers: Mapping[str, Any],
    *,
    call_id: str,
    reason: str,
    error: BaseException | None = None,
    attempt: int = 1,
    queue: str | None = None,
    system: str = "",
    server: Server | None = None,
) -> None:
    """Say that a call has become a dead letter, in the trace that its `headers` carry. Never raises.

    By whoever puts it there, once it is kept. Its body has a span of its own, or had none since its process died;
    so this one is below what handed the call over. `error` is what it failed by, where that is known; `queue` the
    broker's that it was in, where it was in one.
    """
    with harmless:
        tracer = listener.current()
        above = carried(headers)
        creation = get_current_span(above).get_span_context()
        if tracer is None or listener.drops(creation):
            return
        attributes: Attributes = {n.TASK: task_name, n.CALL: call_id, n.DEAD_LETTER: reason}
        if attempt > 1:
            attributes[n.ATTEMPT] = attempt
        if queue is not None:
            attributes |= of_message("settle", call_id, queue=queue, system=system, server=server, routing_key=None)
        span = tracer.start_span(
            f"dead-letter {task_name}",
            above,
            SpanKind.INTERNAL if queue is None else SpanKind.CLIENT,
            attributes=attributes,
            links=linked_to(creation),
        )
        with harmless:
            fail(span, DeadLettered.__name__ if error is None else kind_of(error))
        span.end()
