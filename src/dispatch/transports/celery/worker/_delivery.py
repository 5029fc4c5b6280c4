"""One delivery of a call that the ledger keeps: what the worker's main process knows, and its pool has to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec
from celery import Celery

from dispatch.telemetry import messages
from dispatch.transports.celery._broker_kind import messaging_system, server_of
from dispatch.transports.celery._delays import queue_of
from dispatch.transports.celery.ledger import NO_STAMP, STAMP_HEADER, Entry, Terms

DELIVERY = "dispatch-delivery"
"""In the request, where this goes from the main process to the pool. Never leaves the machine."""

TERMS_OF_OTHERS = Terms()
"""Those of durable calls that came without ours: from canvas, beat or `send_task`, where no policy was asked."""


class Stale(Exception):
    """A signed message that is too old to be believed without an entry: the call may have run, and be forgotten."""


class Delivery(msgspec.Struct, frozen=True):
    """Of a message whose call the ledger keeps."""

    owner: str
    """The name under which this delivery claims its call; nobody else has it."""
    list_key: str
    message: str
    """For a ledger that does not know the call."""
    stale: bool = False
    """So old that it is not believed where the ledger does not know the call."""


def delivery(app: Celery, message: Any, *, stale: bool = False) -> Delivery:
    """Of a message that the worker's main process has just taken from kombu, and has put nothing into yet."""
    channel = message.channel
    whole = message.serializable()
    whole["headers"].setdefault(STAMP_HEADER, NO_STAMP)
    queue = queue_of(app, message.delivery_info) or message.delivery_info["routing_key"]
    # As kombu's `_put`, which writes one list for each step of priority.
    list_key = channel._q_for_pri(queue, channel._get_message_priority(whole, reverse=False))  # noqa: SLF001
    return Delivery(uuid4().hex, f"{channel.global_keyprefix}{list_key}", json.dumps(whole), stale)


def delivery_of(request: Any) -> Delivery | None:
    """What the ledger needs to know of this request; `None` for one that it does not keep."""
    said = (request.headers or {}).get(DELIVERY)
    return None if said is None else Delivery(*said)


def entry_of(task: Any, request: Any, delivery: Delivery) -> Entry:
    """What makes an entry of a call that the ledger does not know. Raises `Stale`."""
    if delivery.stale:
        raise Stale(request.id)
    return Entry(
        id=request.id,
        task=task.name,
        list_key=delivery.list_key,
        message=delivery.message,
        attempt=request.retries + 1,
        **msgspec.structs.asdict(TERMS_OF_OTHERS),
    )


def tell_dead(task: Any, request: Any, reason: str, error: BaseException | None) -> None:
    """Say in its trace that the call of this request has become a dead letter. Never raises."""
    where = request.delivery_info or {}
    messages.dead_lettered(
        task.name,
        request.headers or {},
        call_id=request.id,
        reason=reason,
        error=error,
        attempt=request.retries + 1,
        queue=queue_of(task.app, where) or where.get("routing_key") or "",
        system=messaging_system(task.app),
        server=server_of(task.app),
    )


def trace_id(headers: Mapping[str, Any]) -> str:
    """From the W3C header `traceparent`: version, trace id, parent id and flags, joined by hyphens."""
    parts = str(headers.get("traceparent", "")).split("-")
    return parts[1] if len(parts) > 1 else ""
