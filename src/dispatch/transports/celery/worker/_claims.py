"""What this process has claimed in the ledger: asked for before a durable call runs, answered for once it has ended."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec
from celery import Celery, states
from celery.exceptions import Ignore
from celery.utils.log import get_logger

from dispatch._outcome import Failure
from dispatch._turn import Turn
from dispatch.transports.celery._delays import queue_of
from dispatch.transports.celery._redis import connect
from dispatch.transports.celery.ledger import (
    NO_STAMP,
    STAMP_HEADER,
    Claim,
    Dropped,
    Entry,
    Ledger,
    Renewer,
    next_attempt,
)

DELIVERY = "dispatch-delivery"
"""In the request: what the worker's main process knows of this delivery. Never leaves the machine."""

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


class Delivery(msgspec.Struct, frozen=True):
    """Of a message whose call the ledger keeps."""

    owner: str
    """The name under which this delivery claims its call; nobody else has it."""
    list_key: str
    message: str
    """For a ledger that does not know the call."""


@dataclass
class _Held:
    claim: Claim
    trace_id: str
    failure: Failure | None = None
    ended: bool = False
    """Its entry speaks of something else already: of the next attempt."""


class Claims:
    """One process's side of the ledger of one app."""

    def __init__(self, app: Celery) -> None:
        self._connect = partial(connect, app)
        self._ledger: Ledger | None = None
        self._renewer = Renewer(self._connect)
        self._held: dict[str, _Held] = {}

    @property
    def ledger(self) -> Ledger:
        made = self._ledger
        if made is None:
            made = self._ledger = self._connect()
        return made

    def begin(self, task: Any, request: Any) -> None:
        """Claim the call of this request, and renew the claim from now on.

        Raises Celery's `Ignore` when it is not to be run: it has ended, or somebody else runs it; and
        `redis.RedisError` when the ledger cannot be asked. Then nothing runs: the sweep brings the call again.
        """
        delivery = delivery_of(request)
        if delivery is None:
            return
        attempt = request.retries + 1
        verdict = self.ledger.claim(request.id, attempt, delivery.owner, partial(_entry, task, request, delivery))
        if isinstance(verdict, Dropped):
            logger.info("Task %s[%s] is not run: %s", task.name, request.id, _WHY[verdict.why])
            raise Ignore(_WHY[verdict.why])
        self._held[request.id] = _Held(verdict, _trace_id(request))
        self._renewer.hold(verdict)

    def failed(self, call_id: str, failure: Failure) -> None:
        """How a call that is held has ended, for its dead letter."""
        held = self._held.get(call_id)
        if held is not None:
            held.failure = failure

    def again(self, request: Any, delay_ms: int, headers: dict[str, str]) -> bool:
        """End this attempt and have the next one published when it is due. False: somebody else has the call."""
        held = self._held.get(request.id)
        claim = _foreign(request) if held is None else held.claim
        if claim is None:
            return False
        if held is not None:
            self._renewer.let_go(held.claim)
            held.ended = True
        try:
            text, list_key = self.ledger.message(request.id)
        except KeyError:
            return False
        return self.ledger.again(claim, next_attempt(text, claim.attempt, headers), list_key, delay_ms=delay_ms)

    def end(self, call_id: str, state: str | None) -> None:
        """The result is stored: settle what is held, or bury it. Without a state, its lease is left to run out."""
        held = self._held.pop(call_id, None)
        if held is None or held.ended:
            return
        self._renewer.let_go(held.claim)
        if state is None:
            return
        kept = (
            self._bury(held.claim, held.trace_id, held.failure)
            if state == states.FAILURE
            else self._settle(held.claim, state)
        )
        if not kept:
            logger.warning("Task %s: its lease ran out while it ran; it runs, or has run, elsewhere too", call_id)

    def bury(self, request: Any, failure: Failure) -> None:
        """The same for a call whose process was ended by this one."""
        claim = _foreign(request)
        if claim is not None:
            self._bury(claim, _trace_id(request), failure)

    def _settle(self, claim: Claim, state: str) -> bool:
        return self.ledger.settle(claim, "done" if state == states.SUCCESS else state.lower())

    def _bury(self, claim: Claim, trace_id: str, failure: Failure | None) -> bool:
        error, traceback = ("its error is not known", "") if failure is None else failure.told()
        return self.ledger.bury(claim, error=error, traceback=traceback, trace_id=trace_id)


def delivery(app: Celery, message: Any) -> Delivery:
    """Of a message that the worker's main process has just taken from kombu, and has put nothing into yet."""
    channel = message.channel
    whole = message.serializable()
    whole["headers"].setdefault(STAMP_HEADER, NO_STAMP)
    queue = queue_of(app, message.delivery_info) or message.delivery_info["routing_key"]
    # As kombu's `_put`, which writes one list for each step of priority.
    list_key = channel._q_for_pri(queue, channel._get_message_priority(whole, reverse=False))  # noqa: SLF001
    return Delivery(uuid4().hex, f"{channel.global_keyprefix}{list_key}", json.dumps(whole))


def delivery_of(request: Any) -> Delivery | None:
    """What the ledger needs to know of this request; `None` for one that it does not keep."""
    said = (request.headers or {}).get(DELIVERY)
    return None if said is None else Delivery(*said)


def _foreign(request: Any) -> Claim | None:
    """The claim that another process of this worker has, or had, on the call of a request."""
    delivery = delivery_of(request)
    return None if delivery is None else Claim(request.id, delivery.owner, request.retries + 1, 0, 0)


def _trace_id(request: Any) -> str:
    """From the W3C header `traceparent`: version, trace id, parent id and flags, joined by hyphens."""
    parts = str((request.headers or {}).get("traceparent", "")).split("-")
    return parts[1] if len(parts) > 1 else ""


def _entry(task: Any, request: Any, delivery: Delivery) -> Entry:
    return Entry(
        id=request.id,
        task=task.name,
        list_key=delivery.list_key,
        message=delivery.message,
        attempt=request.retries + 1,
    )


_WHY = {
    "settled": "it has ended already",
    "running": "another worker runs it",
    "older": "a further attempt was made since",
    "early": "this attempt is not due yet",
    "dead": "it was claimed too often, and is a dead letter now",
}
_turn = Turn()
_claims: dict[int, Claims] = {}


def claims_of(app: Celery) -> Claims:
    """Those of this process; made when they are first asked for."""
    made = _claims.get(id(app))
    if made is None:
        with _turn.lock:
            made = _claims.setdefault(id(app), Claims(app))
    return made


def _forget() -> None:
    # A child has claimed nothing, and has connections of its own.
    _claims.clear()


os.register_at_fork(after_in_child=_forget)


def settle(task: Any, task_id: str, state: str | None = None, **_: Any) -> None:
    """For Celery's `task_postrun`: the body has ended and its result is stored."""
    claims = _claims.get(id(task.app))
    if claims is not None:
        claims.end(task_id, state)
