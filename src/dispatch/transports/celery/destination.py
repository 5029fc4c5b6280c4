"""The Celery transport, seen by a caller: a queue on a broker, reached through the publisher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from copy import copy
from typing import Any, Self
from weakref import WeakKeyDictionary

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import NotConfigured, PassedOver
from dispatch.policy import CelerySettings
from dispatch.pool import Drained
from dispatch.telemetry import messages
from dispatch.transports._arguments import Uncarried
from dispatch.transports._destination import HandOver
from dispatch.transports._statistics import DestinationStatistics
from dispatch.transports.celery._brokers import Broker, Way
from dispatch.transports.celery._outlook import Outlook
from dispatch.transports.celery._wishes import limits_of, need_of, terms_of
from dispatch.transports.celery.payloads import Storing
from dispatch.transports.celery.publishing import (
    Body,
    Message,
    Need,
    Ticket,
    check,
    compressed,
    encode,
    message_of,
)

_CLAIM_EXPIRES_NS = 30 * 24 * 3600 * 10**9

_NOT_SET_UP = "set DISPATCH_BROKER_URL, or dispatch.configure(celery=app)"


class CeleryDestination:
    """One of Celery's queues, with the limits that the policy gives it."""

    transport: Transport = "celery"
    runs_on: Transport = "celery"
    always_fit = False

    def __init__(self, name: str, settings: CelerySettings, broker: Broker) -> None:
        self.name = name
        self.broker = broker
        self.unanswered: WeakKeyDictionary[Call, Ticket] = WeakKeyDictionary()
        """Of durable calls of which the broker has not said whether it has them."""
        self._obstacle: str | None = None
        self._left_alone: PassedOver | None = None
        """What was last in the way, and how that is told: the same one as long as the breaker stays open."""
        self._outlook = Outlook()
        if broker.results is not None:
            broker.results.outlooks[name] = self._outlook
        self._outstanding: set[Call] = set()
        """Given to the publisher and not answered yet."""
        self._obey(settings)
        self.enforce()

    def _obey(self, settings: CelerySettings) -> None:
        self._settings = settings
        self._terms = terms_of(settings)
        self.max_payload = settings.max_payload
        self.need: Need = need_of(settings)
        """Of its broker, by a durable call."""
        self.patience = settings.publish_deadline_ns / 1e9
        """Seconds that a caller waits for the broker."""

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        if spec.importable:
            return None
        cure = "define it at the top of a module that a worker can import"
        return PassedOver(self.name, "cannot_carry", f"no worker finds {spec.name}: {cure}")

    def unfit(self, durability: Durability) -> PassedOver | None:
        """Durable calls need a broker that was asked; before it has answered, the call itself waits for that.

        While the breaker is open, every call comes this way: it is as short as it can be.
        """
        way = self.broker.found or self.way()
        if isinstance(way, PassedOver):
            return way
        obstacle = way.publisher.obstacle()
        if obstacle is not None:
            return self._left_alone if obstacle is self._obstacle else self._left_alone_for(obstacle)
        alarm = way.publisher.alarm()
        if alarm is not None:
            return PassedOver(self.name, "refused", alarm)
        return None if durability == "ephemeral" else self.forgets(way)

    def forgets(self, way: Way) -> PassedOver | None:
        """Why the broker is not known to keep what is durable; `None` also before it was asked."""
        if self.need == "nothing":
            return None
        proof = way.publisher.proof(self._queue(way), self.need)
        missing = None if proof is None else proof.missing(self.need)
        if missing is None:
            return None
        return self._not_durable(missing)

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        return self._outlook.start_ns()

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        return self._outlook.figures()

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        try:
            encode(args, kwargs, spec.function)
        except Uncarried as error:
            return error.passed(self.name)
        return None

    # ---- taking calls

    def try_now(self, call: Call) -> bool:
        return False

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Encode here, then let the publisher send it. `may_wait` is about room, and a broker has room."""
        way = self.way()
        if isinstance(way, PassedOver):
            return way
        try:
            body = self.encoded(call)
        except Uncarried as error:
            return error.passed(self.name)
        if body.content_type not in way.accepted:
            return PassedOver(self.name, "cannot_carry", f"the app's accept_content has no {body.content_type}")
        body = self.compressed(body, call.options.celery if call.options is not None else {})
        call.serialized = ticks()
        storing = self._storing(call, body, way)
        if storing is not None:
            yield storing
            if (not_stored := storing.passed(self.name)) is not None:
                return not_stored
            body = storing.claimed
        queue = self._queue(way)
        publication = messages.publishing(
            call,
            queue=queue,
            system=way.system,
            size=body.size,
            compressed=None if storing is not None else body.compressed_size,
            server=way.server,
            routing_key=way.routing_key(queue),
        )
        passed: PassedOver | None = PassedOver(self.name, "unknown", "its caller stopped waiting for the answer")
        self._outstanding.add(call)
        try:
            message = self.message(call, body, way, publication.headers, publication.context)
            ticket = way.submit(message, self.patience)
            try:
                yield ticket
            except BaseException:
                if ticket.withdraw():
                    passed = ticket.answer.passed(self.name)
                raise
            passed = self._outcome(call, ticket)
        finally:
            self._outstanding.discard(call)
            publication.end(passed)
        if storing is not None and passed is not None and passed.why != "unknown":
            yield storing.undoing()
        return passed

    def run_here(self, call: Call, *, awaiting: bool) -> None:
        return None

    def statistics(self) -> DestinationStatistics:
        # In a forked child what others were publishing is the parent's.
        asked = [call.entered for call in tuple(self._outstanding) if not call.foreign]
        return DestinationStatistics(
            transport=self.transport,
            waiting=len(asked),
            oldest_waiting_ns=ticks() - min(asked) if asked else None,
            **self.broker.figures(),
        )

    def glance(self) -> DestinationStatistics:
        return self.statistics()  # nobody is asked for it

    def revised(self, settings: CelerySettings) -> Self:
        """The same way to the broker, and what is under way to it, under other words of the policy."""
        other = copy(self)
        other._obey(settings)  # noqa: SLF001 - another of this class
        return other

    def enforce(self) -> None:
        self.broker.expect(self.name, self._settings.queue, self.patience, limits_of(self._settings))

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        """Have the publisher send what waits. Its callers are told: nothing is dropped here."""
        return Drained(left=self.broker.close(grace))

    def __repr__(self) -> str:
        return f"<CeleryDestination {self.name} [queue {self._settings.queue or 'default'} | {self.broker!r}]>"

    # ---- the parts of a hand-over

    def way(self) -> Way | PassedOver:
        try:
            way = self.broker.way()
        except NotConfigured as error:
            return PassedOver(self.name, "not_configured", str(error))
        return way or PassedOver(self.name, "not_configured", f"{self.name} needs a broker: {_NOT_SET_UP}")

    def encoded(self, call: Call) -> Body:
        """Its arguments as they travel. Raises `Uncarried`."""
        options = call.options
        if options is not None and options.headers:
            check("headers", options.headers)
        serializer = (options.celery.get("serializer") if options is not None else None) or "json"
        return encode(call.args, call.kwargs, call.spec.function, serializer)

    def compressed(self, body: Body, options: Mapping[str, Any]) -> Body:
        """As it is to travel. What the call itself says of compression, in its options for Celery, holds."""
        return body if "compression" in options else compressed(body, self._settings.compress_over)

    def _storing(self, call: Call, body: Body, way: Way) -> Storing | None:
        """Its way into a store, for arguments that are too large to travel."""
        over = self._settings.claim_check_over
        if over is None or len(body.text) <= over:
            return None
        expires = (self._settings.claim_expires_ns or _CLAIM_EXPIRES_NS) / 1e9
        return Storing(way.app, body, expires=expires, durable=call.decision.durability == "durable")

    def message(
        self, call: Call, body: Body, way: Way, headers: dict[str, str], context: Context | None = None
    ) -> Message:
        """The call as it goes to the queue; `headers` and `context` are the trace's."""
        said = (self._settings.expires_ns, call.expires_ns)
        return message_of(
            call,
            body,
            app=way.app,
            queue=self._queue(way),
            need=self.need,
            expires_ns=min((each for each in said if each is not None), default=None),
            headers=headers,
            context=context,
            terms=None if way.sweeper is None else self._terms,
            max_deliveries=self._settings.max_deliveries if way.sweeper is None else None,
        )

    # ---- within

    def _queue(self, way: Way) -> str:
        return self._settings.queue or way.default_queue

    def _outcome(self, call: Call, ticket: Ticket) -> PassedOver | None:
        answer = ticket.answer
        if answer.verdict in ("accepted", "unknown"):
            call.sent = ticks()
            call.source = self.broker.results
        if answer.verdict == "accepted":
            if not ticket.cold:
                self._outlook.published(ticket.answered_at - call.serialized)
            return None
        if answer.verdict == "unknown" and call.decision.durability == "durable":
            self.unanswered[call] = ticket
        if answer.verdict == "not_durable":
            return self._not_durable(answer.detail)
        return answer.passed(self.name)

    def _left_alone_for(self, obstacle: str) -> PassedOver:
        detail = f"the broker is left alone for a while: {obstacle}"
        self._left_alone = passed = PassedOver(self.name, "breaker_open", detail)
        self._obstacle = obstacle  # last: whoever sees it finds the other
        return passed

    def _not_durable(self, detail: str) -> PassedOver:
        self.broker.warn_once(detail)
        return PassedOver(self.name, "not_durable", detail)
