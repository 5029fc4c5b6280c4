"""The publisher: one thread per process and broker, the only one that speaks to it."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from dispatch._flag import Flag
from dispatch._fork import notice_fork, renew_in_child
from dispatch._log import logger
from dispatch._turn import Turn
from dispatch.transports.celery.publishing._answer import Answer, refused
from dispatch.transports.celery.publishing._breaker import Breaker, Limits, Phase
from dispatch.transports.celery.publishing._courier import Courier
from dispatch.transports.celery.publishing._line import Connect
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._proof import Need, Proof
from dispatch.transports.celery.publishing._ticket import Ticket

Errand: TypeAlias = Ticket | Callable[[Courier], Answer | None]
"""What lies in the mailbox: a message with its ticket, or something else to be done there."""

_SHUT_DOWN = refused("it was shut down; `dispatch.configure()` starts anew")

_BATCH = 256
"""Messages that share one exchange, and its fate when it is cut short."""

_BATCH_BYTES = 1 << 20
"""Whoever came first is not to wait until everybody's megabytes are written."""

_RECONSIDER = 5.0
"""Seconds between two questions to a broker that was found not to keep what it accepts."""

_ATTEND = 0.5
"""Seconds between two questions whether an alarm is over, while calls are passed on."""


class Publisher:
    """Takes messages from any thread and answers each. Whatever waits at one moment goes out together.

    The thread starts with the first message, or with `warm`. It is a daemon: `close` gives it time to finish.
    """

    def __init__(self, load: Callable[[], Connect], limits: Limits | None = None) -> None:
        """`load` imports what is needed and returns what opens a line; both are called on the publisher's thread.

        `limits` are the breaker's.
        """
        self._load = load
        self._limits = limits or Limits()
        self.queues: set[str] = set()
        """Looked after from the moment a line is open; others are when the first message for them comes."""
        self._begin()
        _publishers.add(self)

    def submit(self, message: Message, patience: float) -> Ticket:
        """Hand `message` to the thread. Never waits; the ticket does, at most `patience` seconds."""
        crew = self._crew()
        ticket = Ticket(message, crew, patience)
        self._post(crew, ticket)
        return ticket

    def warm(self) -> None:
        """Have a connection opened and the broker asked, in the background. Twice is once."""
        self._crew().man()

    def proof(self, queue: str, need: Need) -> Proof | None:
        """What the broker was last found to keep; `None` before it was asked. Answers at once.

        Where it was found wanting, it is asked again now and then, in the background.
        """
        crew = self._crew()
        proof = crew.courier.proofs.get(queue)
        if proof is not None and proof.missing(need) is not None and monotonic() - crew.considered > _RECONSIDER:
            crew.considered = monotonic()
            self._post(crew, Courier.reconsider)
        return proof

    def obey(self, limits: Limits) -> None:
        """From now on these are the breaker's limits."""
        self._limits = self._crew_.breaker.limits = limits

    def renew_line(self) -> None:
        """Speak to the broker over a new connection, soon: what bounds its waits has changed."""
        crew = self._crew()
        if crew.thread is not None:
            self._post(crew, Courier.reconsider)

    def obstacle(self) -> str | None:
        """Why nothing is sent just now: the breaker is open. Answers at once.

        While it is, every local call asks this, on the short way: a fork is noticed elsewhere (`_fork`).
        """
        return self._crew_.breaker.obstacle

    def alarm(self) -> str | None:
        """Why the broker takes nothing just now, though it answers. At once; it is asked again in the background."""
        why = self._crew_.courier.alarm
        if why is not None and monotonic() - self._crew_.considered > _ATTEND:
            crew = self._crew()
            crew.considered = monotonic()
            self._post(crew, Courier.attend)
        return why

    @property
    def breaker_state(self) -> Phase:
        return self._crew_.breaker.phase

    def close(self, grace: float) -> int:
        """Take nothing new, send what waits, end the thread, within `grace` seconds. How many are left."""
        crew = self._crew()
        with _turn.lock:
            thread, crew.thread = crew.thread, None
        crew.end()
        if thread is None:
            return 0
        thread.join(grace)
        return crew.mail.qsize() if thread.is_alive() else 0

    def forget(self) -> None:
        """In a forked child: begin anew. The parent's connection is left alone."""
        self._crew_.courier.disown()
        self._begin()

    def __del__(self) -> None:
        # Nobody can hand anything in any more, and the thread would wait for it for ever.
        self._crew_.end()

    # ---- within

    def _begin(self) -> None:
        breaker = Breaker(self._limits)
        self._crew_ = _Crew(Courier(self._load, self.queues, breaker), breaker)

    def _crew(self) -> _Crew:
        notice_fork()
        return self._crew_

    def _post(self, crew: _Crew, errand: Errand) -> None:
        if crew.thread is None and not crew.man() and isinstance(errand, Ticket):
            errand.settle(_SHUT_DOWN)
            return
        crew.mail.put(errand)
        if crew.breaker.obstacle is not None:
            crew.stir.set()


class _Crew:
    """The thread and what belongs to it; a forked child, where the thread is gone, gets another."""

    def __init__(self, courier: Courier, breaker: Breaker) -> None:
        self.courier = courier
        self.breaker = breaker
        # Looked up now: under gevent's monkey patches this is gevent's own.
        self.mail: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self.stir = threading.Event()
        """Something came while the breaker was open. Set after it was put into the mail."""
        self.imported = Flag()
        self.warm = Flag()
        self.closed = False
        self.considered = 0.0
        self.thread: threading.Thread | None = None

    def man(self) -> bool:
        """Start the thread, unless it runs. False when it never will: closed, or the interpreter is ending."""
        with _turn.lock:
            if self.thread is not None or self.closed:
                return not self.closed
            thread = threading.Thread(target=self._run, name="dispatch-publisher", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self.thread = thread
            return True

    def end(self) -> None:
        """Take nothing new; the thread ends once it has sent what waits."""
        self.closed = True
        self.mail.put(None)
        self.stir.set()

    def _run(self) -> None:
        self.courier.load()
        self.imported.hoist()
        obstacle = self.courier.open()
        self.considered = monotonic()
        self.warm.hoist()
        self._refuse(obstacle)
        while self._is_let_through() and (errands := self._waiting()) is not None:
            try:
                self._do(errands)
            except Exception:  # noqa: BLE001, RUF100
                # A fault of ours must not end the only thread that publishes; who waits is answered by its deadline.
                logger("celery").exception("the publisher made a mistake")
        self.courier.close()
        self._refuse(_SHUT_DOWN)

    def _do(self, errands: list[Errand]) -> None:
        tickets = [each for each in errands if isinstance(each, Ticket)]
        if tickets:
            self._refuse(self.courier.deliver(tickets))
        for each in errands:
            if not isinstance(each, Ticket):
                self._refuse(each(self.courier))

    def _is_let_through(self) -> bool:
        """True once the breaker is closed, after probing for as long as that takes; false at the end."""
        while self.breaker.obstacle is not None:
            until = monotonic() + self.breaker.pause()
            while (left := until - monotonic()) > 0:
                self.stir.clear()
                self._refuse(Answer("breaker_open", f"the broker is left alone for a while: {self.breaker.obstacle}"))
                if self.closed:
                    return False
                self.stir.wait(left)
            self.courier.probe()
        return True

    def _refuse(self, obstacle: Answer | None) -> None:
        """Whoever came while a connection was tried in vain has waited for that one, and need not wait for more."""
        if obstacle is not None:
            for errand in iter(self._next, None):
                if isinstance(errand, Ticket):
                    errand.settle(obstacle)

    def _waiting(self) -> list[Errand] | None:
        """All that waits, at least one; `None` at the end."""
        first = self.mail.get()
        if first is None:
            return None
        errands, size = [first], _size(first)
        while len(errands) < _BATCH and size < _BATCH_BYTES and (errand := self._next()) is not None:
            errands.append(errand)
            size += _size(errand)
        return errands

    def _next(self) -> Errand | None:
        """What else waits now; `None` for nothing, and for the end, which then waits its turn."""
        try:
            errand = self.mail.get_nowait()
        except queue.Empty:
            return None
        if errand is None:
            self.mail.put(None)
        return errand


def _size(errand: Errand) -> int:
    return errand.message.body.size if isinstance(errand, Ticket) else 0


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
_turn = Turn()


def _forget_all() -> None:
    for publisher in tuple(_publishers):
        publisher.forget()


renew_in_child(_forget_all)
