"""A message that has to wait on disk, and the same message when its time has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from celery import Celery
from kombu import serialization

from dispatch._clock import wall
from dispatch.transports._arguments import Uncarried
from dispatch.transports._outlet import Parcel
from dispatch.transports.celery._broker_kind import messaging_system
from dispatch.transports.celery.ledger import Terms
from dispatch.transports.celery.publishing._encoding import Body, check
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._proof import Need

_JSON = "application/json"
_KEPT = ("task", "id", "queue", "headers", "lineage", "options", "durability")

_dumps: Callable[..., tuple[str, str, str]] = serialization.dumps
_loads: Callable[..., Any] = serialization.loads


def sealed(message: Message) -> Parcel:
    """`message` as bytes and text; what is left of its delay goes on counting. Raises `Uncarried`."""
    if message.body.content_type != _JSON:
        raise Uncarried("serializer", f"a spool keeps JSON, and this call is to be sent as {message.body.content_type}")
    for name, value in message.options.items():
        check(name, value)
    kept = {name: getattr(message, name) for name in _KEPT}
    kept["terms"] = None if message.terms is None else msgspec.structs.asdict(message.terms)
    due = wall() + message.delay_ns
    _, _, text = _dumps(kept, serializer="json")
    return Parcel(arguments=str(message.body.text).encode(), headers={"celery": text, "due": due})


def opened(arguments: bytes, headers: dict[str, Any], *, app: Celery, need: Need) -> Message:
    """The message that was sealed. Raises whatever reading it raises, should it be another's."""
    text = arguments.decode()
    args, kwargs, embed = _loads(text, _JSON, "utf-8")
    body = Body((args, kwargs, embed))
    body.text = body.plain = text
    body.content_type, body.content_encoding, body.size = _JSON, "utf-8", len(text)
    kept = _loads(headers["celery"], _JSON, "utf-8")
    terms = kept.pop("terms")
    # The broker may be another one by now.
    has_ledger = terms is not None and messaging_system(app) == "redis"
    return Message(
        **kept,
        body=body,
        needs=need,
        delay_ns=max(0, headers["due"] - wall()),
        terms=Terms(**terms) if has_ledger else None,
        context=None,
    )
