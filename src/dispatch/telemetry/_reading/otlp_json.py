"""One line of OTLP JSON, as any exporter may write it, as whole spans."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TypeVar

from dispatch.telemetry._reading import wire
from dispatch.telemetry._reading.span import Event, Kind, Process, Span, StatusWord

Word = TypeVar("Word", bound=str)

_KINDS: tuple[Kind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: tuple[StatusWord, ...] = ("unset", "ok", "error")


def spans(line: bytes) -> Iterator[Span]:
    """The spans of one line or document; none in a line of logs or metrics. Raises `ValueError` for anything else."""
    for resource_spans in wire.resources(line):
        process = _process(resource_spans.resource)
        for scope, span in wire.spans(resource_spans):
            yield _span(span, process, scope)


def _process(resource: wire.Resource | None) -> Process:
    attributes = wire.attributes(resource.attributes) if resource else {}
    pid = attributes.get("process.pid")
    return Process(str(attributes.get("service.name", "unknown")), pid if isinstance(pid, int) else None)


def _span(span: wire.Span, process: Process, scope: str) -> Span:
    start = wire.moment(span.start_time_unix_nano)
    status = span.status or wire.Status()
    return Span(
        trace_id=span.trace_id.lower(),
        span_id=span.span_id.lower(),
        parent_id=(span.parent_span_id or "").lower(),
        name=sys.intern(span.name or ""),
        kind=_word(_KINDS, span.kind, "SPAN_KIND_"),
        start_ns=start,
        # A span that was written before its end has none.
        end_ns=wire.moment(span.end_time_unix_nano) or start,
        attributes=wire.attributes(span.attributes),
        status=_word(_STATUSES, status.code, "STATUS_CODE_"),
        message=status.message or "",
        events=tuple(_event(each) for each in span.events or ()),
        links=tuple((each.trace_id.lower(), each.span_id.lower()) for each in span.links or ()),
        scope=scope,
        process=process,
    )


def _event(event: wire.Event) -> Event:
    return Event(event.name, wire.moment(event.time_unix_nano), wire.attributes(event.attributes))


def _word(words: tuple[Word, ...], value: int | str | None, prefix: str) -> Word:
    if isinstance(value, str):
        value = value.removeprefix(prefix).lower()
        return next((word for word in words if word == value), words[0])
    return words[value] if value is not None and 0 <= value < len(words) else words[0]
