"""Arguments that the message has only a claim to: fetched before the task runs, given back when its call has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from celery import states
from celery.utils.log import get_logger
from kombu.utils import json as kombu_json

from dispatch.errors import NotConfigured, PayloadMissing
from dispatch.transports.celery._claim import CLAIM_HEADER, Claim
from dispatch.transports.celery._durability import durability_of
from dispatch.transports.celery.payloads import store_of

_loads: Callable[[str], Any] = kombu_json.loads
_Given = tuple[tuple[Any, ...], dict[str, Any]]

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


def claim_of(request: Any) -> str | None:
    """What the message says of its arguments; `None`: they are in it."""
    if request.is_eager:
        return None
    said: str | None = (request.headers or {}).get(CLAIM_HEADER)
    return said


def fetched(task: Any, text: str) -> _Given | None:
    """The arguments. `None`: they were given back, so the call has ended, and this message is a copy.

    Raises `PayloadMissing`.
    """
    try:
        claim = Claim.read(text)
        store = store_of(task.app)
    except (ValueError, NotConfigured) as error:
        raise PayloadMissing(f"{task.name}: its arguments cannot be fetched: {error}") from error
    where = f"{task.name}: its arguments (payload {claim.key}, {claim.size} bytes) are kept in {store.name}"
    try:
        data = store.get(claim.key)
    except Exception as error:
        raise PayloadMissing(f"{where}, which does not answer: {error!r}") from error
    if data is None:
        raise PayloadMissing(
            f"{where}, and are not there: they have expired (claim_expires in the policy), somebody has removed them, "
            "or caller and worker do not share this store"
        )
    if not data:
        return None
    try:
        args, kwargs, _ = _loads(claim.opened(data).decode())
        return tuple(args), dict(kwargs)
    except (ValueError, TypeError, json.JSONDecodeError) as error:
        raise PayloadMissing(f"{where}, and are damaged: {error}") from error


def let_go_of_payload(task: Any, state: str | None = None, **_: Any) -> None:
    """For Celery's `task_postrun`, behind what settles the call: nobody asks for its arguments any more.

    A durable call that failed is a dead letter, which may be sent again: its arguments are kept until they expire.
    """
    text = claim_of(task.request)
    if text is None or state not in (states.SUCCESS, states.FAILURE):
        return
    durable = durability_of(task.request.headers or {}, task.name) == "durable"
    if durable and state == states.FAILURE:
        return
    try:
        # A durable call may come a second time although it has ended, and must not be told that something is missing.
        store_of(task.app).settle(Claim.read(text).key, remember=durable)
    except Exception as error:  # noqa: BLE001 - the call has ended well, and its payload expires
        logger.warning("Task %s: its payload was not given back: %r", task.request.id, error)
