"""What the statistics keep of a span: numbers, packed, since a million of them may wait for their other side.

NaN stands for what a span does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, isnan, nan
from struct import Struct
from typing import NamedTuple, TypeAlias

from dispatch.telemetry import _names as n
from dispatch.telemetry._reading import wire
from dispatch.telemetry._reading.delays import made_ns
from dispatch.telemetry._reading.span import DEAD_LETTER

Said: TypeAlias = dict[str, wire.Value | None]


class Route(NamedTuple):
    """Where calls went. Those that went the same way are counted together."""

    destination: str | None
    """`None` when no destination took them."""
    transport: str | None
    task: str
    rule: str | None


class Handed(NamedTuple):
    """The caller's side of a call."""

    made_ns: int
    span_ns: int
    failed: bool
    overhead: float
    decide: float
    serialize: float
    enqueue: float
    predicted: float
    budget: float


class Ran(NamedTuple):
    """The first attempt, or a later one."""

    span_ns: int
    run: float
    failed: bool
    skewed: bool
    repeated: bool
    wait: float
    start: float


HANDED = Struct("<iqq?6d")
"""A number for the route, and a `Handed`."""
RAN = Struct("<qd???2d")


class Excerpt(NamedTuple):
    """Of one span. At the detail `compact` a local call has only one, which is both sides."""

    call_id: str
    route: Route | None
    handed: Handed | None
    ran: Ran | None
    is_dead: bool


def excerpts(line: bytes) -> Iterator[Excerpt]:
    """Of the spans in one line that tell of calls. Raises `ValueError` for a line that is damaged."""
    for resource_spans in wire.resources(line):
        for scope, span in wire.spans(resource_spans):
            start_ns = wire.moment(span.start_time_unix_nano)
            end_ns = wire.moment(span.end_time_unix_nano)
            said: Said = {pair.key: pair.value for pair in span.attributes or ()}
            is_run = n.START in said or n.WAIT in said
            is_call = scope == n.SCOPE and (n.OVERHEAD in said or (span.name or "").startswith("dispatch "))
            is_dead = DEAD_LETTER in said
            if not (is_run or is_call or is_dead):
                continue
            call_id = _text(said, n.CALL) or ""
            failed = wire.is_error(span.status)
            ran = _ran(said, start_ns, end_ns, failed=failed) if is_run else None
            if is_call:
                handed = _handed(said, start_ns, ran, failed=failed)
                yield Excerpt(call_id, _route(said, span.name), handed, ran, is_dead)
            elif call_id:
                yield Excerpt(call_id, None, None, ran, is_dead)


def _route(said: Said, name: str | None) -> Route:
    task = _text(said, n.TASK) or (name or "").partition(" ")[2]
    return Route(_text(said, n.DESTINATION), _text(said, n.TRANSPORT), task, _text(said, n.RULE))


def _handed(said: Said, start_ns: int, ran: Ran | None, *, failed: bool) -> Handed:
    overhead = _number(said, n.OVERHEAD)
    made = start_ns
    if ran is not None:
        made = made_ns(start_ns, *(0.0 if isnan(part) else part for part in (overhead, ran.wait, ran.start)))
    return Handed(
        made,
        start_ns,
        failed and ran is None,
        overhead,
        _number(said, n.DECIDE),
        _number(said, n.SERIALIZE),
        _number(said, n.ENQUEUE),
        _number(said, n.PREDICTED_START),
        _number(said, n.LATENCY_BUDGET),
    )


def _ran(said: Said, start_ns: int, end_ns: int, *, failed: bool) -> Ran:
    return Ran(
        start_ns,
        max(0, (end_ns or start_ns) - start_ns) / 1e3,
        failed,
        wire.python(said.get(n.CLOCK_SKEWED)) is True,
        _number(said, n.ATTEMPT) > 1,
        _number(said, n.WAIT),
        _number(said, n.START),
    )


def _text(said: Said, name: str) -> str | None:
    value = said.get(name)
    return None if value is None else value.string_value


def _number(said: Said, name: str) -> float:
    value = said.get(name)
    if value is None:
        return nan
    if type(value.double_value) is float:
        return value.double_value  # as we write it; JSON has only finite ones
    number = wire.python(value)
    return float(number) if type(number) in (int, float) and isfinite(number) else nan
