"""A Celery app's broker, as the destinations of one dispatcher share it."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial, reduce
from typing import Any

import msgspec
from celery import Celery
from kombu.serialization import prepare_accept_content

from dispatch._log import logger
from dispatch._turn import Turn
from dispatch.errors import NotConfigured
from dispatch.telemetry import messages
from dispatch.transports.celery._broker_kind import messaging_system, routing_key_of, server_of
from dispatch.transports.celery._redis import connect, keeps_ledger
from dispatch.transports.celery.ledger import Sweeper
from dispatch.transports.celery.publishing import Limits, Message, Publisher, Ticket, load
from dispatch.transports.celery.results import Results

_SECONDS = 2.0
"""The bound of every wait where no destination has said another: the publish deadline that policies have by default."""


class Way(msgspec.Struct, frozen=True, eq=False):
    """The app, once it is known, and how messages get to its broker."""

    app: Celery
    publisher: Publisher
    system: str
    """The broker's name in OpenTelemetry's words."""
    server: messages.Server | None
    default_queue: str
    sweeper: Sweeper | None
    """Of the broker's ledger, where it has one."""
    accepted: frozenset[str]
    """The content types that its workers take; they throw away what has another."""

    def routing_key(self, queue: str) -> str | None:
        """RabbitMQ's, by which messages get into the queue; elsewhere there is none."""
        return routing_key_of(self.app, queue) if self.system == "rabbitmq" else None

    def submit(self, message: Message, patience: float) -> Ticket:
        """Hand `message` to the publisher, and have the ledger swept from now on if it is to keep it. Never waits."""
        if self.sweeper is not None and message.terms is not None:
            with suppress(RuntimeError):  # at the interpreter's end no thread can be started; workers sweep as well
                self.sweeper.start()
        return self.publisher.submit(message, patience)


class _Wish(msgspec.Struct, frozen=True):
    """What one destination wants of the broker."""

    queue: str | None
    seconds: float
    limits: Limits | None


class _Patience:
    """The seconds that bound every wait on the network, read when a connection is opened."""

    def __init__(self) -> None:
        self.seconds = _SECONDS

    def __call__(self) -> float:
        return self.seconds


class Broker:
    """Resolves the app when it is first needed, and owns the one publisher. Safe from any thread."""

    def __init__(self, app: Callable[[], Celery | None], *, results: Results | None = None) -> None:
        """`app` returns the Celery app, `None` where nobody named one, or raises `NotConfigured`.

        `results` is where accepted calls get their outcome from.
        """
        self.results = results
        self._source = app
        self.found: Way | None = None
        """What `way` has found; asked by every call while the breaker is open."""
        self._closed = False
        self._wishes: dict[str, _Wish] = {}
        self._patience = _Patience()
        self._said: set[str] = set()

    def expect(self, destination: str, queue: str | None, seconds: float, limits: Limits | None = None) -> None:
        """A destination announces its queue, `None` for the app's default, how long its callers wait, and when the
        breaker is to open. What it says later holds instead; the queues that it had are looked after all the same."""
        with _turn.lock:
            self._wishes[destination] = _Wish(queue, seconds, limits)
        self._agree()

    def expect_only(self, destinations: Container[str]) -> None:
        """What others have announced holds no longer."""
        with _turn.lock:
            self._wishes = {name: wish for name, wish in self._wishes.items() if name in destinations}
        self._agree()

    def way(self) -> Way | None:
        """How to get there; `None` without an app. The first time resolves the app, here and now.

        Raises `NotConfigured` when the app that was named is not to be had.
        """
        return self.found or self._find()

    def warm(self) -> None:
        """Resolve the app, then have a connection opened and the broker asked what it keeps, in the background."""
        try:
            way = self.way()
        except NotConfigured:
            return  # the first call that needs it says so
        if way is not None:
            way.publisher.warm()

    def warn_once(self, sentence: str) -> None:
        """Why the broker is not used for durable calls; each reason once."""
        if sentence not in self._said:
            self._said.add(sentence)
            logger("celery").warning("durable calls are not given to the broker", why=sentence)

    def figures(self) -> dict[str, Any]:
        """For its destinations' statistics: what is known of the broker. Asks nobody."""
        way = self.found
        if way is None:
            return {}
        size = None if way.sweeper is None else way.sweeper.size
        kept = {} if size is None else {"kept": size.kept, "overdue": size.overdue, "dead": size.dead}
        return {"breaker": way.publisher.breaker_state, "alarm": way.publisher.alarm(), **kept}

    def close(self, grace: float) -> int:
        """Send what waits and end the publisher, within `grace` seconds; how many messages are left. Twice is once."""
        with _turn.lock:
            self._closed, way = True, self.found
        if way is None:
            return 0
        left = way.publisher.close(grace)
        if way.sweeper is not None:
            way.sweeper.stop()
        return left

    def _find(self) -> Way | None:
        app = self._source()
        if app is None:
            return None
        default_queue: str = app.conf.task_default_queue
        accepted = frozenset(_content_types(app.conf.accept_content))
        # Not a closure over this broker: the publisher's thread would keep it, and itself, alive for ever.
        publisher = Publisher(partial(load, app, self._patience), self._limits)
        sweeper = Sweeper(partial(connect, app)) if keeps_ledger(app) else None
        way = Way(app, publisher, messaging_system(app), server_of(app), default_queue, sweeper, accepted)
        way.publisher.queues.update(wish.queue or default_queue for wish in self._wishes.values())
        with _turn.lock:
            # Two threads may have come here together: neither publisher has started anything yet.
            if self.found is None:
                self.found = way
                if self._closed:
                    way.publisher.close(0)
            return self.found

    def _agree(self) -> None:
        """Destinations share the broker: the longest patience holds, and the strictest breaker."""
        wishes, way, before = tuple(self._wishes.values()), self.found, self._patience()
        self._patience.seconds = max((wish.seconds for wish in wishes), default=_SECONDS)
        if way is not None:
            way.publisher.queues.update(wish.queue or way.default_queue for wish in wishes)
            way.publisher.obey(self._limits)
            if self._patience() != before:
                way.publisher.renew_line()

    @property
    def _limits(self) -> Limits:
        said = [wish.limits for wish in self._wishes.values() if wish.limits is not None]
        return reduce(Limits.stricter, said) if said else Limits()

    def __repr__(self) -> str:
        return f"<Broker {self.found.system if self.found else 'not yet known'}>"


_content_types: Callable[..., set[str]] = prepare_accept_content
_turn = Turn()
