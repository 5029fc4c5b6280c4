"""OTLP JSON as it stands in a line, whoever wrote it: enums by name or number, integers as number or text, `null` for
what is not there, fields that we do not know."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Unknown fields are skipped. `gc=False`: trees by their nature, and there are very many of them."""


class Value(_Wire):
    string_value: str | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    bytes_value: str | None = None
    array_value: Values | None = None
    kvlist_value: Pairs | None = None


class Values(_Wire):
    values: list[Value] | None = None


class Pair(_Wire):
    key: str
    value: Value | None = None


class Pairs(_Wire):
    values: list[Pair] | None = None


class Event(_Wire):
    name: str = ""
    time_unix_nano: int | str | None = None
    attributes: list[Pair] | None = None


class Link(_Wire):
    trace_id: str = ""
    span_id: str = ""


class Status(_Wire):
    code: int | str | None = None
    message: str | None = None


class Span(_Wire):
    trace_id: str
    span_id: str
    name: str | None = None
    parent_span_id: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[Pair] | None = None
    events: list[Event] | None = None
    links: list[Link] | None = None
    status: Status | None = None


class Scope(_Wire):
    name: str | None = None


class ScopeSpans(_Wire):
    scope: Scope | None = None
    spans: list[Span] | None = None


class Resource(_Wire):
    attributes: list[Pair] | None = None


class ResourceSpans(_Wire):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None


class _Request(_Wire):
    resource_spans: list[ResourceSpans] | None = None


_decode = msgspec.json.Decoder(_Request).decode


def resources(line: bytes) -> list[ResourceSpans]:
    """What one line or document holds; nothing where it is of logs or metrics. Raises `ValueError` for anything else.

    Times and integers that are text are not looked at here, nor are ids.
    """
    try:
        return _decode(line).resource_spans or []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not OTLP JSON: {error}") from None


def spans(resource_spans: ResourceSpans) -> Iterator[tuple[str, Span]]:
    """The spans of one resource, each with the name of its scope. Raises `ValueError` for one without ids."""
    for scope_spans in resource_spans.scope_spans or ():
        scope = (scope_spans.scope and scope_spans.scope.name) or ""
        for span in scope_spans.spans or ():
            if not span.trace_id.strip("0") or not span.span_id.strip("0"):
                raise ValueError("a span without ids")
            yield scope, span


def attributes(pairs: list[Pair] | None) -> dict[str, Any]:
    # A hundred thousand spans share a few dozen keys.
    return {sys.intern(pair.key): python(pair.value) for pair in pairs or ()}


def python(value: Value | None) -> Any:
    """The value itself. Raises `ValueError` for a number that is none."""
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.double_value is not None:
        return float(value.double_value)
    if value.int_value is not None:
        return _integer(value.int_value)
    return value.bool_value if value.bool_value is not None else _compound(value)


def moment(value: int | str | None) -> int:
    """Nanoseconds since 1970; 0 where nothing is said. Raises `ValueError`."""
    nanoseconds = 0 if value is None else int(value)
    if not 0 <= nanoseconds < 1 << 63:
        raise ValueError(f"{nanoseconds} is no time")
    return nanoseconds


def is_error(status: Status | None) -> bool:
    code = None if status is None else status.code
    return code.removeprefix("STATUS_CODE_").lower() == "error" if isinstance(code, str) else code == 2


def _compound(value: Value) -> Any:
    if value.array_value is not None:
        return [python(each) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return attributes(value.kvlist_value.values)
    return value.bytes_value


def _integer(value: int | str) -> int:
    number = int(value)
    if number.bit_length() > 64:
        raise ValueError(f"{number} is no 64-bit integer")
    return number
