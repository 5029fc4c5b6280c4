"""What a message tells the worker about its decision: a short flat header, read as if a stranger had written it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import get_args
from urllib.parse import quote, unquote

from dispatch._call import Call
from dispatch._clock import ticks, wall, wall_of
from dispatch._decision import Reason
from dispatch.telemetry import _names as n
from dispatch.telemetry._attributes import Attributes

_LONGEST = 2048
_LONGEST_VALUE = 200

_WORDS = {
    "destination": n.DESTINATION,
    "rule": n.RULE,
    "reason": n.REASON,
    "policy": n.POLICY_VERSION,
}
_NUMBERS = {"decide_us": n.DECIDE, "serialize_us": n.SERIALIZE}
"""What the caller had paid when the message was written; the publish itself was still to come."""
_MADE = "made"


def pack(call: Call) -> str:
    """ASCII, `key=value` joined by `;`, values quoted as in a URL."""
    decision = call.decision
    decided = max(call.decided, call.entered)
    words = _words(decision.destination, decision.rule, decision.reason, decision.policy_version)
    text = f"{words};{_MADE}={wall_of(call.entered, now_wall=wall(), now_ticks=ticks())}"
    if call.stage == "running":
        return text  # claimed to be handed on at a shutdown: what its caller has paid is long ago
    text += f";decide_us={(decided - call.entered) / 1e3:.1f}"
    if call.serialized:
        text += f";serialize_us={max(0, call.serialized - decided) / 1e3:.1f}"
    return text


@lru_cache(maxsize=256)
def _words(*values: str) -> str:
    """A program has few routes, and quoting takes a while."""
    return ";".join(f"{key}={quote(value, safe='')}" for key, value in zip(_WORDS, values, strict=True))


def due_in(delay_ns: int) -> dict[str, str]:
    """For a message that is held back: laid over its headers, it has a worker count the wait from when it is due."""
    return {n.SENT_HEADER: str(wall() + delay_ns)}


def unpack(headers: Mapping[str, object]) -> Attributes:
    """The attributes in our header. What is missing, foreign or hostile is left out; never raises."""
    text = headers.get(n.ROUTE_HEADER)
    if not isinstance(text, str) or len(text) > _LONGEST:
        return {}
    attributes: Attributes = {}
    for field in text.split(";"):
        key, _, quoted = field.partition("=")
        value = unquote(quoted)
        if key in _WORDS and _is_word(key, value):
            attributes[_WORDS[key]] = value
        elif key in _NUMBERS and (number := _number(value)) is not None:
            attributes[_NUMBERS[key]] = number
    return attributes


def made_at(headers: Mapping[str, object]) -> int | None:
    """When `delay` was called, in nanoseconds since 1970, if our header says so credibly."""
    text = headers.get(n.ROUTE_HEADER)
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    _, found, rest = text.partition(f";{_MADE}=")
    return _moment(rest.partition(";")[0]) if found else None


def sent_at(headers: Mapping[str, object]) -> int | None:
    """When the message was written, in nanoseconds since 1970, if it says so credibly."""
    return _moment(headers.get(n.SENT_HEADER))


def moment_within(taken: object, now: int) -> int:
    """`taken`, unless it cannot be true: it may have come in a message, from another machine's clock."""
    return taken if isinstance(taken, int) and 0 < taken <= now else now


def _moment(text: object) -> int | None:
    # 19 digits reach the year 2286; `isdigit` alone would let other alphabets' digits through.
    if isinstance(text, str) and len(text) <= 19 and text.isascii() and text.isdigit():
        return int(text) or None
    return None


def _is_word(key: str, value: str) -> bool:
    if key == "reason":
        return value in get_args(Reason)
    return 0 < len(value) <= _LONGEST_VALUE and value.isprintable()


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None
