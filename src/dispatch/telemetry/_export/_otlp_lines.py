"""Finished spans as OTLP JSON: ids in lowercase hex, 64-bit integers as text, enums as numbers."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from math import isfinite, isnan
from typing import Any, TypeAlias

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, StatusCode

from dispatch.telemetry._failures import harmless

Json: TypeAlias = dict[str, Any]

_SPANS_PER_LINE = 256

LONGEST_LINE = 1 << 20
"""Bytes with the newline: what the collector's file receiver takes. Only a single span that is larger goes beyond."""

_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200

_encode = msgspec.json.Encoder().encode


def lines(spans: Sequence[ReadableSpan]) -> Iterator[bytes]:
    """`spans` as one or more lines without their newline. A span that cannot be encoded is left out, and counted."""
    for start in range(0, len(spans), _SPANS_PER_LINE):
        yield from _lines(spans[start : start + _SPANS_PER_LINE])


def _lines(batch: Sequence[ReadableSpan]) -> Iterator[bytes]:
    line = None
    if len(batch) == 1:
        with harmless:
            line = _encode(_request(batch))
        if line is not None:
            yield line
        return
    # Whatever one strange attribute raises, its neighbours are still good.
    with suppress(Exception):
        line = _encode(_request(batch))
    if line is not None and len(line) < LONGEST_LINE:
        yield line
        return
    half = len(batch) // 2
    yield from _lines(batch[:half])
    yield from _lines(batch[half:])


def _request(spans: Sequence[ReadableSpan]) -> Json:
    # Spans of one process mostly come in long runs of one resource and few scopes; a run is a group.
    return {
        "resourceSpans": [
            _of_resource(resource, list(of_resource)) for resource, of_resource in groupby(spans, _resource_of)
        ]
    }


def _resource_of(span: ReadableSpan) -> Resource:
    return span.resource


def _scope_of(span: ReadableSpan) -> InstrumentationScope | None:
    return span.instrumentation_scope


def _of_resource(resource: Resource, spans: Sequence[ReadableSpan]) -> Json:
    # A resource made before a fork is the parent's; the file belongs to this process, and so do its spans.
    attributes = {**resource.attributes, "process.pid": os.getpid()}
    by_scope: dict[InstrumentationScope | None, list[ReadableSpan]] = {}
    for span in spans:
        by_scope.setdefault(_scope_of(span), []).append(span)
    group: Json = {
        "resource": {"attributes": _attributes(attributes)},
        "scopeSpans": [_of_scope(scope, of_scope) for scope, of_scope in by_scope.items()],
    }
    if resource.schema_url:
        group["schemaUrl"] = resource.schema_url
    return group


def _of_scope(scope: InstrumentationScope | None, spans: Sequence[ReadableSpan]) -> Json:
    group: Json = {"scope": {}, "spans": [_span(span) for span in spans]}
    if scope is not None:
        group["scope"] = {"name": scope.name}
        if scope.version:
            group["scope"]["version"] = scope.version
        if scope.attributes:
            group["scope"]["attributes"] = _attributes(scope.attributes)
        if scope.schema_url:
            group["schemaUrl"] = scope.schema_url
    return group


def _span(span: ReadableSpan) -> Json:
    context, parent = span.context, span.parent
    encoded: Json = {
        **_ids(context),
        "flags": _flags(context, parent),
        "name": span.name,
        # The API counts kinds from 0 and OTLP from 1, in the same order.
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _attributes(span.attributes),
        "status": _status(span),
    }
    if parent is not None:
        encoded["parentSpanId"] = f"{parent.span_id:016x}"
    if span.events:
        encoded["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                "attributes": _attributes(event.attributes),
                "droppedAttributesCount": event.dropped_attributes,
            }
            for event in span.events
        ]
    if span.links:
        encoded["links"] = [
            {
                **_ids(link.context),
                "flags": _flags(link.context, link.context),
                "attributes": _attributes(link.attributes),
                "droppedAttributesCount": link.dropped_attributes,
            }
            for link in span.links
        ]
    for key, dropped in (
        ("droppedAttributesCount", span.dropped_attributes),
        ("droppedEventsCount", span.dropped_events),
        ("droppedLinksCount", span.dropped_links),
    ):
        if dropped:
            encoded[key] = dropped
    return encoded


def _ids(context: SpanContext) -> Json:
    ids: Json = {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}
    if context.trace_state:
        ids["traceState"] = context.trace_state.to_header()
    return ids


def _flags(context: SpanContext, origin: SpanContext | None) -> int:
    """The W3C flags of the span, and whether `origin` (its parent, or what it links to) is another process's."""
    remote = _IS_REMOTE if origin is not None and origin.is_remote else 0
    return _HAS_IS_REMOTE | remote | int(context.trace_flags)


def _status(span: ReadableSpan) -> Json:
    status: Json = {}
    if span.status.status_code is not StatusCode.UNSET:
        status["code"] = span.status.status_code.value
    if span.status.description:
        status["message"] = span.status.description
    return status


def _attributes(attributes: Mapping[str, Any] | None) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()] if attributes else []


def _value(value: object) -> Json:
    match value:
        case str():
            return {"stringValue": value}
        case bool():  # before the integers: a bool is one
            return {"boolValue": value}
        case int():
            # Python's integers have no end, OTLP's have 64 bits.
            return {"intValue" if -(1 << 63) <= value < 1 << 63 else "stringValue": f"{value:d}"}
        case float():
            return {"doubleValue": value if isfinite(value) else _unreal(value)}
        case _:
            return _compound(value)


def _compound(value: object) -> Json:
    match value:
        case None:
            return {}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case Mapping():
            return {"kvlistValue": {"values": [{"key": str(key), "value": _value(of)} for key, of in value.items()]}}
        case Sequence():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case _:
            return {"stringValue": str(value)}


def _unreal(value: float) -> str:
    if isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
