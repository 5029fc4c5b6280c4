"""One line of OTLP JSON, as any exporter may write it: enums by name or number, integers as number or text, `null`
for what is not there, fields that we do not know."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from dispatch.telemetry._reading.span import Event, Kind, Process, Span, StatusWord

Word = TypeVar("Word", bound=str)

_KINDS: tuple[Kind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: tuple[StatusWord, ...] = ("unset", "ok", "error")


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Unknown fields are skipped. `gc=False`: trees by their nature, and there are very many of them."""


class _Value(_Wire):
    string_value: str | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    bytes_value: str | None = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None


class _Values(_Wire):
    values: list[_Value] | None = None


class _Pair(_Wire):
    key: str
    value: _Value | None = None


class _Pairs(_Wire):
    values: list[_Pair] | None = None


class _Event(_Wire):
    name: str = ""
    time_unix_nano: int | str | None = None
    attributes: list[_Pair] | None = None


class _Link(_Wire):
    trace_id: str = ""
    span_id: str = ""


class _Status(_Wire):
    code: int | str | None = None
    message: str | None = None


class _Span(_Wire):
    trace_id: str
    span_id: str
    name: str | None = None
    parent_span_id: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    links: list[_Link] | None = None
    status: _Status | None = None


class _Scope(_Wire):
    name: str | None = None


class _ScopeSpans(_Wire):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _Resource(_Wire):
    attributes: list[_Pair] | None = None


class _ResourceSpans(_Wire):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(_Wire):
    resource_spans: list[_ResourceSpans] | None = None


_decode = msgspec.json.Decoder(_Request).decode


def spans(line: bytes) -> Iterator[Span]:
    """The spans of one line or document; none in a line of logs or metrics. Raises `ValueError` for anything else."""
    try:
        request = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not OTLP JSON: {error}") from None
    for resource_spans in request.resource_spans or ():
        process = _process(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans or ():
            scope = (scope_spans.scope and scope_spans.scope.name) or ""
            for span in scope_spans.spans or ():
                yield _span(span, process, scope)


def _process(resource: _Resource | None) -> Process:
    attributes = _attributes(resource.attributes) if resource else {}
    pid = attributes.get("process.pid")
    return Process(str(attributes.get("service.name", "unknown")), pid if isinstance(pid, int) else None)


def _span(span: _Span, process: Process, scope: str) -> Span:
    trace_id, span_id = span.trace_id.lower(), span.span_id.lower()
    if not trace_id.strip("0") or not span_id.strip("0"):
        raise ValueError("a span without ids")
    start = _time(span.start_time_unix_nano)
    status = span.status or _Status()
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=(span.parent_span_id or "").lower(),
        name=sys.intern(span.name or ""),
        kind=_word(_KINDS, span.kind, "SPAN_KIND_"),
        start_ns=start,
        # A span that was written before its end has none.
        end_ns=_time(span.end_time_unix_nano) or start,
        attributes=_attributes(span.attributes),
        status=_word(_STATUSES, status.code, "STATUS_CODE_"),
        message=status.message or "",
        events=tuple(_event(each) for each in span.events or ()),
        links=tuple((each.trace_id.lower(), each.span_id.lower()) for each in span.links or ()),
        scope=scope,
        process=process,
    )


def _event(event: _Event) -> Event:
    return Event(event.name, _time(event.time_unix_nano), _attributes(event.attributes))


def _attributes(pairs: list[_Pair] | None) -> dict[str, Any]:
    # A hundred thousand spans share a few dozen keys.
    return {sys.intern(pair.key): _python(pair.value) for pair in pairs or ()}


def _python(value: _Value | None) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.double_value is not None:
        return float(value.double_value)
    if value.int_value is not None:
        return _integer(value.int_value)
    return value.bool_value if value.bool_value is not None else _compound(value)


def _compound(value: _Value) -> Any:
    if value.array_value is not None:
        return [_python(each) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values)
    return value.bytes_value


def _time(value: int | str | None) -> int:
    moment = 0 if value is None else int(value)
    if not 0 <= moment < 1 << 63:
        raise ValueError(f"{moment} is no time")
    return moment


def _integer(value: int | str) -> int:
    number = int(value)
    if number.bit_length() > 64:
        raise ValueError(f"{number} is no 64-bit integer")
    return number


def _word(words: tuple[Word, ...], value: int | str | None, prefix: str) -> Word:
    if isinstance(value, str):
        value = value.removeprefix(prefix).lower()
        return next((word for word in words if word == value), words[0])
    return words[value] if value is not None and 0 <= value < len(words) else words[0]
