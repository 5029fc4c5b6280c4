"""What a message for a task of ours may say, header by header: it is read as if a stranger had written it.

Celery trusts what it reads, and a worker dies of a `timelimit` that is a number, or of a date in the year 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from celery.utils.time import maybe_iso8601

from dispatch.transports.celery._signed_producer import VERIFIED
from dispatch.transports.celery.ledger import STAMP_HEADER
from dispatch.transports.celery.worker._attempt import ENCODED_AS, TAKEN
from dispatch.transports.celery.worker._burial import COUNT
from dispatch.transports.celery.worker._delivery import DELIVERY

_LONGEST = 1024
"""Characters of an id."""
_MOST = 2**31 - 1
_FIRST_YEAR, _LAST_YEAR = 1971, 9000
"""Dates at the very ends of the calendar cannot be moved to another time zone."""
_STAMP = 13

_NEVER_SENT = (DELIVERY, TAKEN, ENCODED_AS, VERIFIED)
"""What we write into a request inside the worker: a message that brings it along wants to be taken for one of ours."""


class Malformed(Exception):
    """Celery or we would stumble over this message. Says where, and not over what."""


def check_headers(message: Any) -> None:
    """Raises `Malformed` for a message that cannot be ours, nor Celery's."""
    headers: Mapping[str, Any] = message.headers
    for name in _NEVER_SENT:
        if name in headers:
            raise Malformed(f"its header {name} never leaves a worker")
    if "id" not in headers:
        raise Malformed("it has no id")
    for name, is_good in _HEADERS.items():
        if name in headers and not is_good(headers[name]):
            raise Malformed(f"its header {name} is none")
    where, properties = message.delivery_info, message.properties
    if not isinstance(where, Mapping) or not all(_text(where.get(name)) for name in ("exchange", "routing_key")):
        raise Malformed("it does not say which queue it was in")
    if not isinstance(properties, Mapping) or not all(
        _text(properties.get(name)) for name in ("correlation_id", "reply_to")
    ):
        raise Malformed("its properties are none")


def check_body(message: Any) -> None:
    """Decode the body, which kombu keeps, and see that it holds arguments. Raises `Malformed`."""
    try:
        body = message.payload
    except Exception as error:
        raise Malformed("its body cannot be read as JSON") from error
    if not (isinstance(body, list) and len(body) == 3):
        raise Malformed("its body holds no arguments")
    args, kwargs, embed = body
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embed, dict | None)):
        raise Malformed("its body holds no arguments")
    for name in ("callbacks", "errbacks", "chain"):
        found = (embed or {}).get(name)
        if found is not None and not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
            raise Malformed(f"its {name} are none")
    if not isinstance((embed or {}).get("chord"), dict | None):
        raise Malformed("its chord is none")


def _id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and _writable(value)


def _text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and _writable(value))


def _writable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _limits(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and len(value) == 2 and all(map(_limit, value)))


def _limit(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and math.isfinite(value) and 0 < value < _MOST)


def _date(value: Any) -> bool:
    if value is None:
        return True
    try:
        date = maybe_iso8601(value) if isinstance(value, str) else None
    except (ValueError, TypeError, AttributeError, OverflowError):
        return False
    return isinstance(date, datetime) and _FIRST_YEAR <= date.year <= _LAST_YEAR


def _or_none(is_good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_good(value)


def _stamp(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _STAMP and value.isascii() and value.isdigit()


def _stamped(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(map(_text, value)))


_HEADERS: dict[str, Callable[[Any], bool]] = {
    "id": _id,
    "root_id": _or_none(_id),
    "parent_id": _or_none(_id),
    "group": _or_none(_id),
    "group_index": _or_none(_count),
    "shadow": _text,
    "origin": _text,
    "lang": _text,
    "argsrepr": _text,
    "kwargsrepr": _text,
    "eta": _date,
    "expires": _date,
    "retries": _count,
    "timelimit": _limits,
    "ignore_result": lambda value: value is None or isinstance(value, bool),
    "replaced_task_nesting": _or_none(_count),
    "stamped_headers": _stamped,
    "stamps": lambda value: isinstance(value, dict | None),
    COUNT: _or_none(_count),
    STAMP_HEADER: _stamp,
}
