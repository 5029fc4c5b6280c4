"""One call as it goes to Celery: what the worker reads, and where it is to be put."""

from __future__ import annotations

from contextvars import Context
from datetime import UTC, datetime
from typing import Any

import msgspec
from celery import Celery
from celery.app.amqp import task_message
from kombu.entity import Queue

from dispatch._call import Call
from dispatch._clock import ticks, wall, wall_of
from dispatch._requirements import Durability
from dispatch.telemetry import messages
from dispatch.transports.celery._claim import CLAIM_HEADER
from dispatch.transports.celery._delays import countdown
from dispatch.transports.celery._durability import DURABILITY_HEADER
from dispatch.transports.celery._retry_header import RETRY_HEADER, pack
from dispatch.transports.celery.ledger import NO_STAMP, STAMP_HEADER, Terms
from dispatch.transports.celery.publishing._encoding import Body
from dispatch.transports.celery.publishing._producer import Producer
from dispatch.transports.celery.publishing._proof import Need

_UNSHOWN = {"argsrepr": "", "kwargsrepr": ""}
"""Celery would otherwise print the arguments into every message, which costs more than encoding them."""

MAX_DELIVERIES_HEADER = "dispatch-max-deliveries"
"""What the policy allows a durable call, where no ledger counts."""

_ADDRESSES = frozenset({"queue", "exchange", "routing_key"})


class Message(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Made on the caller's thread; the publisher's thread posts it. Its id is the call's."""

    task: str
    id: str
    queue: str | None
    """Of those that the app describes; `None` for a message that names an exchange, or describes a queue itself."""
    needs: Need
    """Of its broker, which has to be asked first."""
    body: Body
    headers: dict[str, Any]
    """Laid over Celery's own."""
    lineage: dict[str, str]
    """Of the Celery task that makes the call, where one does: its id and its root's."""
    options: dict[str, Any]
    """For Celery alone, handed on as they are; when there are any, Celery's own routing has the word."""
    delay_ns: int
    """Not before so much has passed."""
    durability: Durability
    terms: Terms | None
    """Those of the ledger, for a call that it is to keep."""
    context: Context | None
    """The caller's, for receivers of Celery's signals: tracers and the like look there. They work on a copy of it."""

    @property
    def goes_alone(self) -> bool:
        """What Celery routes itself may name a wrong exchange or queue, which may cost the connection."""
        return bool(self.options or (self.delay_ns and self.terms is None))

    def post(self, producer: Producer) -> None:
        """Have Celery put the message into `producer`, its signals included. Nothing is retried."""
        # A tracer whose span was to end with a signal that never comes, since the publish failed, leaves that span
        # current. It is so in a copy that nobody uses again: neither where the call runs instead, nor in this thread.
        context = Context() if self.context is None else self.context.copy()
        context.run(self._post, producer)

    def made(self, producer: Producer) -> Any:
        """What Celery makes of the call itself, without our headers."""
        return producer.app.amqp.as_task_v2(
            self.id,
            self.task,
            self.body[0],
            self.body[1],
            origin=producer.origin,
            create_sent_event=producer.sends_events,
            **self.lineage,
            **_UNSHOWN,
        )

    # ---- within

    def _post(self, producer: Producer) -> None:
        if self.goes_alone:
            self._apply(producer)
            return
        message = self.made(producer)
        producer.app.amqp.send_task_message(
            producer,
            self.task,
            task_message(message.headers, message.properties, self.body, message.sent_event),
            queue=self.queue,
            headers=self.headers,
            declare=[],
            retry=False,
            mandatory=True,
            **producer.properties,
        )

    def _apply(self, producer: Producer) -> None:
        producer.app.tasks[self.task].apply_async(
            self.body[0],
            self.body[1],
            task_id=self.id,
            producer=producer,
            retry=False,
            mandatory=True,
            # Celery would subscribe to the result here and now, which costs a round trip and may hang. What the
            # worker obeys is the header, and ours says what was asked for.
            ignore_result=True,
            headers=self.headers,
            **({} if _ADDRESSES & self.options.keys() else {"queue": self.queue}),
            **_UNSHOWN,
            **self.lineage,
            # Celery makes a text of its own here, and has to compress that one.
            **({} if self.body.compression is None else {"compression": self.body.compression}),
            **self.options,
            # What the ledger keeps is delayed there.
            **({"countdown": countdown(producer.app, self.delay_ns)} if self.delay_ns and self.terms is None else {}),
        )


def message_of(
    call: Call,
    body: Body,
    *,
    app: Celery,
    queue: str,
    need: Need,
    expires_ns: int | None,
    headers: dict[str, str],
    context: Context | None = None,
    terms: Terms | None = None,
    max_deliveries: int | None = None,
) -> Message:
    """`call` as a message for `queue`. `expires_ns` counts from `delay`; `headers` and `context` are the trace's.

    `terms` are those of the broker's ledger, where it has one; `max_deliveries` is for a worker that has to count.
    """
    options = call.options
    celery = options.celery if options is not None else {}
    delay_ns = _delay_ns(call)
    durable = call.decision.durability == "durable"
    kept = terms if durable or delay_ns else None
    return Message(
        task=call.spec.name,
        id=call.id,
        queue=_queue_of(app, celery, queue),
        needs=need if durable else "nothing",
        body=body,
        headers={
            **((options.headers or {}) if options is not None else {}),
            **headers,
            **(messages.due_in(delay_ns) if delay_ns else {}),
            DURABILITY_HEADER: call.decision.durability,
            **({} if body.claim is None else {CLAIM_HEADER: body.claim}),
            **({} if options is None or options.retry is None else {RETRY_HEADER: pack(options.retry)}),
            **({} if kept is None else {STAMP_HEADER: NO_STAMP}),
            **({} if max_deliveries is None or not durable else {MAX_DELIVERIES_HEADER: max_deliveries}),
            "ignore_result": _ignores_result(call),
            # As a header alone: as a property of the message it would let RabbitMQ drop it without a word.
            **({} if expires_ns is None else {"expires": _date(call, expires_ns)}),
        },
        lineage=_lineage(app),
        options=celery,
        delay_ns=delay_ns,
        durability=call.decision.durability,
        terms=kept,
        context=call.context if context is None else context,
    )


def _delay_ns(call: Call) -> int:
    """How much is left, by now, of the call's `countdown` or `eta`."""
    said = call.options.delay_ns if call.options is not None else None
    return 0 if said is None else max(0, said - (ticks() - call.entered))


def _ignores_result(call: Call) -> bool:
    """Whether nobody wants the result: the call's own word, else the task's."""
    said = call.options.ignore_result if call.options is not None else None
    return not call.spec.result if said is None else said


def _queue_of(app: Celery, celery: dict[str, Any], queue: str) -> str | None:
    if not _ADDRESSES & celery.keys():
        return queue
    named = celery.get("queue")
    if isinstance(named, Queue):
        # A description of the call's own, which Celery declares; the app's of the same name would be another one.
        return named.name if app.amqp.queues.get(named.name) is named else None
    return named


def _lineage(app: Celery) -> dict[str, str]:
    task = app.current_worker_task
    if task is None:
        return {}
    request = task.request
    return {"root_id": request.root_id or request.id, "parent_id": request.id}


def _date(call: Call, after_ns: int) -> str:
    entered = wall_of(call.entered, now_wall=wall(), now_ticks=ticks())
    return datetime.fromtimestamp((entered + after_ns) / 1e9, UTC).isoformat()
