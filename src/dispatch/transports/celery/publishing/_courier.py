"""Takes batches of messages to the broker, and renews the line when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby

from dispatch._log import logger
from dispatch.transports.celery.publishing._answer import Answer, refused, told, unknown
from dispatch.transports.celery.publishing._breaker import Breaker
from dispatch.transports.celery.publishing._line import Connect, Line
from dispatch.transports.celery.publishing._proof import NO_QUEUE, Proof, not_described
from dispatch.transports.celery.publishing._ticket import Ticket


class Courier:
    """Used by one thread. Answers every ticket it is given, exactly once, and never raises.

    What it does before it takes a message is certain to have sent nothing: opening the line, asking the broker,
    declaring queues. So a failure there is a refusal, and a line found dead there is replaced on the spot.
    """

    def __init__(self, load: Callable[[], Connect], queues: Iterable[str], breaker: Breaker) -> None:
        """`load` returns what opens a line. `queues` are asked about as soon as one is open; they may grow."""
        self._load = load
        self._connect: Connect | None = None
        self._queues = queues
        self._breaker = breaker
        self._line: Line | None = None
        self.alarm: str | None = None
        """Why the broker takes nothing just now, as it said last; read by other threads."""
        self.proofs: dict[str, Proof] = {}
        """The last answer for each queue; read by other threads."""

    def load(self) -> None:
        """Import what is needed, which waits for nobody. A failure is for those to hear who have a message."""
        with suppress(Exception):
            self._connect = self._load()

    def open(self) -> Answer | None:
        """Have a line ready, and ask what the broker keeps. What is in the way, when that fails."""
        line, obstacle = self._stand(())
        if line is not None:
            return None
        self._failed(obstacle)
        return obstacle

    def attend(self) -> None:
        """Hear whether an alarm is over."""
        self._stand(())

    def reconsider(self) -> Answer | None:
        """Ask the broker again, over a new line: what it lacked it may have by now."""
        self._drop()
        return self.open()

    def probe(self) -> None:
        """Try to reach a broker that is left alone, and let everybody through when it answers."""
        self._breaker.probe()
        line, obstacle = self._stand(())
        if line is None and self.alarm is None:
            self._breaker.open(obstacle.detail)
        else:
            self._breaker.close()  # it answers, and what it says is no guess

    def deliver(self, tickets: Sequence[Ticket]) -> Answer | None:
        """Send the messages that nobody has withdrawn, and answer each. What is in the way, when none can be sent.

        Plain ones share an exchange. Those with options of Celery's go alone: a wrong exchange or queue in them may
        cost the connection.
        """
        obstacle = None
        for special, together in groupby(tickets, lambda ticket: ticket.message.goes_alone):
            for each in ([ticket] for ticket in together) if special else (list(together),):
                obstacle = self._deliver(each) if obstacle is None else _all(each, obstacle)
        return obstacle

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            try:
                line.close()
            except Exception:  # noqa: BLE001 - it was good-bye, and nothing was under way
                line.drop()

    def disown(self) -> None:
        """In a forked child: the line is the parent's."""
        if self._line is not None:
            self._line.disown()

    # ---- within

    def _deliver(self, tickets: Sequence[Ticket]) -> Answer | None:
        line, obstacle = self._stand({each.message.queue for each in tickets if each.message.queue is not None})
        if line is None:
            self._failed(obstacle)
            return _all(tickets, obstacle)
        posted = [ticket for ticket in tickets if self._posted(line, ticket)]
        try:
            answers = line.exchange()
        except Exception as error:  # noqa: BLE001 - a driver that stumbles over what a server says
            answers, line.broken = [unknown(error)] * len(posted), True
        self._learn(answers)
        for ticket, answer in zip(posted, answers, strict=True):
            ticket.settle(answer)
        if line.broken:
            self._drop()
            return self._ping()
        self._look(line)
        return None

    def _look(self, line: Line) -> None:
        """How the broker fares now, when everybody has an answer."""
        try:
            if line.look():
                self.proofs.update({queue: _proof(line, queue) for queue in self.proofs})
            self._hear(line)
        except Exception:  # noqa: BLE001 - the next message finds out what is wrong, and with which line
            self._drop()

    def _hear(self, line: Line) -> Answer | None:
        obstacle = line.barred()
        why = None if obstacle is None else obstacle.detail
        if (why is None) is not (self.alarm is None):
            if why is None:
                logger("celery").info("the broker takes messages again")
            else:
                logger("celery").warning("the broker takes nothing for a while, and is passed over", why=why)
        self.alarm = why
        return obstacle

    def _failed(self, obstacle: Answer) -> None:
        if self.alarm is None:  # else everybody is told, and the breaker need not find out
            self._breaker.failed(obstacle.detail)

    def _learn(self, answers: Sequence[Answer]) -> None:
        if any(answer.verdict == "accepted" for answer in answers):
            self._breaker.accepted()
            return
        why = next((answer.detail for answer in answers if answer.everybodys), None)
        if why is not None:
            self._breaker.failed(why)

    def _ping(self) -> Answer | None:
        """After a lost exchange: was it this process that was late, or is the broker gone?"""
        line, obstacle = self._stand(())
        if line is not None:
            return None
        if self.alarm is None:
            self._breaker.open(obstacle.detail)
        return obstacle

    def _stand(self, queues: Iterable[str]) -> tuple[Line | None, Answer]:
        """A line that stands, with these queues and all that are looked after asked for; or what is in the way."""
        if self._line is not None and not _stands(self._line):
            self._drop()
        try:
            line = self._line
            if line is None:
                self._connect = self._connect or self._load()
                line = self._line = self._connect()
            if self.alarm is not None:
                line.look()
            obstacle = self._hear(line)
            if obstacle is not None:
                return None, obstacle
            for queue in {*self._queues, *queues}:
                self.proofs[queue] = _proof(line, queue)
            obstacle = self._hear(line)  # to prove anything, a new line has asked
            if obstacle is not None:
                return None, obstacle
        except Exception as error:  # noqa: BLE001 - a driver, a resolver, a credential provider: anybody's
            self._drop()
            self.alarm = None  # whatever it was, now it is away
            return None, refused(f"the broker cannot be reached: {told(error)}")
        return line, refused("")

    def _posted(self, line: Line, ticket: Ticket) -> bool:
        """Whether the message is in the next exchange; else its ticket is answered."""
        message = ticket.message
        if message.needs != "nothing":
            proof = self.proofs[message.queue] if message.queue is not None else NO_QUEUE
            missing = proof.missing(message.needs)
            if missing is not None:
                ticket.settle(Answer("not_durable", missing))
                return False
        if not ticket.take():
            return False
        try:
            line.post(message)
        except Exception as error:  # noqa: BLE001 - receivers of Celery's signals may raise anything
            ticket.settle(refused(f"it could not be put into Celery's form: {told(error)}"))
            return False
        return True

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with suppress(Exception):  # what is thrown away may break
                line.drop()


def _all(tickets: Sequence[Ticket], answer: Answer) -> Answer:
    for ticket in tickets:
        ticket.settle(answer)
    return answer


def _stands(line: Line) -> bool:
    try:
        return line.stands()
    except Exception:  # noqa: BLE001 - whatever it is, it is no line to send anything over
        return False


def _proof(line: Line, queue: str) -> Proof:
    try:
        return line.prove(queue)
    except KeyError:
        return not_described(queue)
