"""A spool's way to Celery: messages are made when their calls are made, and published when the broker is back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from time import monotonic
from typing import Any

import msgspec

from dispatch._call import Call, Source
from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import PassedOver
from dispatch.spool import Forwarder, Row, Spool, Verdict
from dispatch.telemetry import messages
from dispatch.transports._arguments import Uncarried
from dispatch.transports._destination import Destination
from dispatch.transports._outlet import Parcel
from dispatch.transports.celery._brokers import Way
from dispatch.transports.celery.destination import CeleryDestination
from dispatch.transports.celery.publishing import Answer, Message, Ticket, opened, sealed


class CeleryOutlet:
    """Packs calls as messages for one Celery destination, and publishes them under the same ids."""

    runs_on: Transport = "celery"

    def __init__(self, destination: CeleryDestination) -> None:
        self.name = destination.name
        self._destination = destination
        self._newest = [destination]
        """By whose word calls are published that were kept before; shared with the revised."""

    def revised(self, destination: Destination) -> CeleryOutlet:
        assert isinstance(destination, CeleryDestination)  # noqa: S101 - a spool keeps its way out
        other = copy(self)
        other._destination = destination  # noqa: SLF001 - another of this class
        return other

    def enforce(self) -> None:
        self._newest[0] = self._destination

    # ---- before a call is kept

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        return self._destination.bars(spec, durability)

    def unfit(self) -> PassedOver | None:
        way = self._destination.way()
        return way if isinstance(way, PassedOver) else self._destination.forgets(way)

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        return self._destination.refuses(spec, args, kwargs)

    def pack(self, call: Call, trace: dict[str, str]) -> Parcel:
        way = self._destination.way()
        if isinstance(way, PassedOver):
            raise Uncarried(None, way.detail)
        return sealed(self._destination.message(call, self._destination.encoded(call), way, trace))

    def kept(self, call: Call, spool: Spool) -> Source:
        """Its result comes as that of any Celery call. Should its first publication be confirmed, its row goes."""
        ticket = self._destination.unanswered.pop(call, None)
        if ticket is not None:
            ticket.afterwards(partial(_arrived, spool, call.id))
        return _Forwarded(self._destination.broker.results, spool)

    # ---- afterwards

    def watchman(self, spool: Spool) -> Forwarder:
        return Forwarder(spool, self.name, partial(self._forward, spool))

    def _forward(self, spool: Spool, rows: Sequence[Row]) -> Iterator[Verdict]:
        destination = self._newest[0]
        way = destination.way()
        if isinstance(way, PassedOver):
            yield from (Verdict(row.id, "refused", way.detail) for row in rows)
            return
        under_way: list[tuple[Ticket, messages.Publication]] = []
        for row in rows:
            try:
                message = opened(row.arguments, row.headers, app=way.app, need=destination.need)
            except Exception as error:  # noqa: BLE001 - whatever it is, it will be so the next time
                yield Verdict(row.id, "never", f"it is no message for Celery: {type(error).__name__}: {error}")
            else:
                under_way.append(_sent(message, destination, way))
        until = 0.0
        for ticket, publication in under_way:
            # A broker that is silent is waited for once, not once for each call.
            if until and monotonic() > until:
                ticket.conclude()
            else:
                ticket.wait()
                until = until or monotonic() + destination.patience
            accepted = ticket.answer.verdict == "accepted"
            publication.end(None if accepted else ticket.answer.passed(destination.name))
            if ticket.answer.verdict == "unknown":
                ticket.afterwards(partial(_arrived, spool, ticket.message.id))
            yield _verdict(ticket)


class _Forwarded:
    """The source of a call that is on its way to Celery by way of the disk."""

    def __init__(self, results: Source | None, spool: Spool) -> None:
        self._results = results
        self._spool = spool

    def watch(self, call: Call) -> None:
        if self._results is not None:
            self._results.watch(call)

    def unwatch(self, call: Call) -> None:
        if self._results is not None:
            self._results.unwatch(call)

    def peek(self, call: Call) -> None:
        if self._results is not None:
            self._results.peek(call)

    def revoke(self, call: Call) -> bool:
        return self._spool.withdraw(call.id)


def _sent(message: Message, destination: CeleryDestination, way: Way) -> tuple[Ticket, messages.Publication]:
    """Hand a message on in the trace of its call, one span further."""
    queue = message.queue or str(message.options.get("routing_key") or "")
    publication = messages.forwarding(
        message.task,
        message.headers,
        call_id=message.id,
        destination=destination.name,
        queue=queue,
        system=way.system,
        size=message.body.size,
        server=way.server,
        routing_key=way.routing_key(queue),
    )
    headers = {**message.headers, **publication.headers}
    body = destination.compressed(message.body, message.options)  # a spool keeps it as text, by no policy's word
    traced = msgspec.structs.replace(message, body=body, headers=headers, context=publication.context)
    return way.submit(traced, destination.patience), publication


def _arrived(spool: Spool, call: str, answer: Answer) -> None:
    if answer.verdict == "accepted":
        spool.arrived(call)


def _verdict(ticket: Ticket) -> Verdict:
    answer = ticket.answer
    if answer.verdict in ("accepted", "unknown"):
        return Verdict(ticket.message.id, answer.verdict, answer.detail)
    return Verdict(ticket.message.id, "refused", f"{answer.verdict}: {answer.detail}")
