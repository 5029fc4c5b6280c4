"""A process that makes calls and empties its spool: all of it real, with the publisher's and the forwarder's threads
taken out, so that a test takes their steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from dispatch import Dispatcher
from dispatch._dispatcher import running
from dispatch._flag import Flag
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.transports.celery.publishing import Answer, Message, Publisher, Ticket
from dispatch.transports.celery.publishing._redis_line import RedisLine
from properties.link import Link, Socket

QUEUE = "contract"
ROWS = 4
"""That the spool has room for."""

_POLICY = parse(f"""
version: 1
destinations:
  queue:
    transport: celery
    queue: {QUEUE}
    lease: 1000s
    remember: 10000s
    max_deliveries: 2
    breaker: {{failures: 2}}
  disk: {{transport: spool, forward_to: queue, max_bytes: {ROWS * 4}KiB, durability: asserted}}
defaults: {{durability: ephemeral}}
otherwise: {{route_to: queue, fallback: [disk]}}
""")

_SETTINGS = Settings(application="contract")


class Caller:
    """One life of the process. What it leaves is in Redis and in the folder."""

    def __init__(self, app: Any, folder: Path) -> None:
        self.link = Link()
        self._app = app
        settings = _SETTINGS.model_copy(update={"spool_dir": folder})
        self.dispatcher = Dispatcher(policy=_POLICY, celery=app, settings=settings)
        running.discard(self.dispatcher)  # it is not shut down in order
        queue: Any = self.dispatcher.destinations["queue"]
        disk: Any = self.dispatcher.destinations["disk"]
        self.publisher = ByHand(lambda: self._connect, self.link)
        queue.broker.found = msgspec.structs.replace(queue.broker.way(), publisher=self.publisher, sweeper=_ByHand())
        self.spool = disk.spool
        self.spool._asked = self._mortal(self.spool._asked)
        self.spool.submit = self._mortal(self.spool.submit, lambda receipt: receipt.wait())
        disk._watchman.start = lambda: None
        self.forward: Callable[[], str] = disk._watchman._round.go

    def die(self) -> None:
        """Its memory is gone, and with it the handles; what it has open is closed, as the kernel would."""
        self.link.dead = True
        self.publisher.drop()
        self.spool.close()

    def _connect(self) -> RedisLine:
        self.link.crossing()
        line = RedisLine(self._app, 5.0)
        line._socket = Socket(line._socket, self.link)
        return line

    def _mortal(self, step: Callable[..., Any], see_through: Callable[[Any], object] = id) -> Callable[..., Any]:
        def taken(*words: Any, **options: Any) -> Any:
            self.link.breathe()
            done = step(*words, **options)
            if self.link.trouble == "dies on disk":
                see_through(done)
            self.link.on_disk()
            return done

        return taken


class ByHand(Publisher):
    """Sends what was handed in when somebody waits for it, in that one's thread."""

    def __init__(self, load: Any, link: Link) -> None:
        super().__init__(load)
        self.link = link
        self._mail: list[Ticket] = []
        self.late: list[tuple[Ticket, Answer]] = []

    def submit(self, message: Message, patience: float) -> Ticket:
        ticket = _Awaited(message, _Started(), patience, self)
        self._mail.append(ticket)
        return ticket

    def go(self) -> None:
        tickets, self._mail = self._mail, []
        obstacle = self._crew_.breaker.obstacle
        if obstacle is None:
            self._crew_.courier.deliver(tickets)
        for ticket in tickets if obstacle is not None else ():
            ticket.settle(Answer("breaker_open", obstacle))

    def probe(self) -> None:
        if self._crew_.breaker.obstacle is not None:
            self._crew_.courier.probe()

    def hear(self) -> None:
        """The answers that were late are here."""
        late, self.late = self.late, []
        for ticket, answer in late:
            Ticket.settle(ticket, answer)

    def drop(self) -> None:
        self._crew_.courier._drop()


class _Awaited(Ticket):
    __slots__ = ("_publisher",)

    def __init__(self, message: Message, start: Any, patience: float, publisher: ByHand) -> None:
        super().__init__(message, start, patience)
        self._publisher = publisher

    def settle(self, answer: Answer) -> None:
        if self._publisher.link.trouble == "late" and self._stage == "taken":
            self._publisher.late.append((self, answer))
        else:
            super().settle(answer)

    def _steps(self) -> Iterator[tuple[Flag, float]]:
        self._publisher.go()
        return iter(())


class _Started:
    def __init__(self) -> None:
        self.imported, self.warm = Flag(), Flag()


class _ByHand:
    """In the place of a sweeper: the test sweeps."""

    def start(self) -> None: ...
