"""A line to Redis: one pipeline for all that waits, one answer for each message in it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import ceil
from time import monotonic
from typing import Any

import msgspec
from celery import Celery
from kombu.exceptions import BatchPublishError
from redis import Redis
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from dispatch.transports.celery.ledger import Command, Entry, Ledger, Terms
from dispatch.transports.celery.publishing._alarm import Alarm
from dispatch.transports.celery.publishing._answer import ACCEPTED, Answer, refused, takes_nothing, told, unknown
from dispatch.transports.celery.publishing._line import NEVER_TWICE, connection, let_go
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._producer import Producer
from dispatch.transports.celery.publishing._proof import Proof, not_asked, of_redis
from dispatch.transports.celery.publishing._short_form import ShortForm

_LOOK = 2.0
_LOOK_AGAIN = 0.5
"""Seconds between two looks at how Redis fares, while calls flow; the second while it takes nothing."""

_QUESTIONS: tuple[Command, ...] = (
    ("CONFIG", "GET", "appendfsync"),
    ("CONFIG", "GET", "stop-writes-on-bgsave-error"),
)

_UNTAUGHT = refused("Redis has forgotten a script")
_UNBOUND = "no queue is bound to the exchange, and Redis would drop the message without a word"


class RedisLine:
    """kombu's own publish batch makes the commands; here they are sent at once and answered one by one.

    kombu's `flush` raises on the first error and says "uncertain" of them all. And redis-py reconnects by itself,
    maybe to a server that lost everything; here one connection is held, and when it is gone the line is over.
    """

    def __init__(self, app: Celery, seconds: float) -> None:
        self.broken = False
        bounds = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        self._connection = connection(app, seconds, **bounds, **NEVER_TWICE)
        try:
            self._channel: Any = self._connection.default_channel
            self._socket: Any = self._channel.pool.get_connection()
        except BaseException:
            self.drop()
            raise
        self._app = app
        self._producer = Producer(app, self._channel)
        self._batch: Any = self._producer.batch(max_size=sys.maxsize)
        # For as long as the line lasts: entering makes a new Redis client, which costs as much as publishing.
        self._batch.__enter__()
        self._ledger = Ledger(Redis(connection_pool=self._channel.pool), prefix=self._channel.global_keyprefix)
        self._short_form = ShortForm(self._producer)
        self._posted: list[list[Command]] = []
        self._lost = Answer("unknown")
        self._proof: Proof | None = None
        self._alarm = Alarm()
        self._barred: str | None = None
        self._looked = 0.0
        self._declared: set[str] = set()

    def stands(self) -> bool:
        try:
            # Nothing was asked, so whatever can be read is the end, or not for us.
            return self._socket.is_connected and not self._socket.can_read()
        except (RedisError, OSError):
            return False

    def barred(self) -> Answer | None:
        return None if self._barred is None else takes_nothing(self._barred)

    def look(self) -> bool:
        if monotonic() - self._looked < (_LOOK if self._barred is None else _LOOK_AGAIN):
            return False
        self._proof = self._asked()
        return True

    def prove(self, queue: str) -> Proof:
        if queue not in self._declared:
            described = self._app.amqp.queues[queue]
            # Into a direct exchange Celery's messages go by the queue's name alone. Others need their bindings.
            if described.exchange.type != "direct" or "x-expires" in (described.queue_arguments or {}):
                described(self._channel).declare()
            self._declared.add(queue)
        if self._proof is None:
            self._proof = self._asked()
        return self._proof

    def post(self, message: Message) -> None:
        fits = self._short_form.fits(message)
        push = self._short_form.push(message) if fits else None
        if push is not None:
            commands = [push]
        else:
            commands = self._made(message)
            if fits:
                self._short_form.learn(message, commands)
        self._posted.append(commands if message.terms is None else self._kept(message, message.terms, commands))

    def _made(self, message: Message) -> list[Command]:
        """The commands that kombu makes of it."""
        before = len(self._commands())
        try:
            message.post(self._producer)
            return [arguments for arguments, _ in self._commands()[before:]]
        except BaseException as error:
            # A batch of kombu's that failed once takes nothing any more.
            self.broken = self.broken or isinstance(error, BatchPublishError)
            raise
        finally:
            del self._commands()[before:]

    def exchange(self) -> list[Answer]:
        posted, self._posted = self._posted, []
        if not any(posted):
            return [refused(_UNBOUND) for _ in posted]
        self._batch.state.session.pipeline.reset()
        answers = self._sent(posted)
        untaught = [place for place, answer in enumerate(answers) if answer is _UNTAUGHT]
        if untaught:
            # Nothing of these was done. The first of them brings the script along.
            again = [posted[place] for place in untaught]
            heard = self._sent([[self._ledger.lesson()], *again])[1:]
            for place, answer in zip(untaught, heard, strict=True):
                answers[place] = answer
        return answers

    def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        let_go(self._connection)

    def disown(self) -> None:
        """Nothing to do: redis-py knows its process, and closes in a child without a word to the server."""

    def _commands(self) -> list[Any]:
        session = self._batch.state.session
        commands: list[Any] = [] if session is None else session.pipeline.command_stack
        return commands

    def _kept(self, message: Message, terms: Terms, commands: list[Command]) -> list[Command]:
        """The commands, with the ledger's in the place of kombu's push: entry and message, or neither."""
        pushes = [command for command in commands if command[0] == "LPUSH"]
        if len(pushes) != 1:
            raise ValueError(f"a call that is to be kept goes into one queue, and this one into {len(pushes)}")
        _, key, text = pushes[0]
        entry = Entry(
            id=message.id,
            task=message.task,
            list_key=str(key),
            message=str(text),
            durability=message.durability,
            delay_ms=ceil(message.delay_ns / 1e6),
            **msgspec.structs.asdict(terms),
        )
        return [self._ledger.entering(entry), *(command for command in commands if command is not pushes[0])]

    def _sent(self, posted: list[list[Command]]) -> list[Answer]:
        """Send them in one go, and hear the answer to each."""
        commands = [command for each in posted for command in each]
        try:
            self._socket.send_packed_command([_packed(commands)], check_health=False)
        except (RedisError, OSError) as error:
            self.broken = True
            return [unknown(error) if each else refused(_UNBOUND) for each in posted]
        return [self._heard(len(each)) for each in posted]

    def _heard(self, count: int) -> Answer:
        """The answer to one message: that to its first command. Each of its others is read too, and only counts
        for the connection."""
        if count == 0:
            return refused(_UNBOUND)
        answers = [self._reply() for _ in range(count)]
        return answers[0]

    def _reply(self) -> Answer:
        if self.broken:
            return self._lost
        try:
            self._socket.read_response()
        except NoScriptError:
            return _UNTAUGHT
        except (OutOfMemoryError, ReadOnlyError) as error:
            return takes_nothing(error)
        except ResponseError as error:
            return refused(error)
        except (RedisError, OSError) as error:
            self.broken, self._lost = True, unknown(error)
            return takes_nothing(error) if isinstance(error, BusyLoadingError) else self._lost
        return ACCEPTED

    def _asked(self) -> Proof:
        self._looked = monotonic()
        self._socket.send_packed_command([_packed([("INFO",), *_QUESTIONS])], check_health=False)
        text, *words = [self._answered() for _ in range(1 + len(_QUESTIONS))]
        if isinstance(text, ResponseError):
            self._barred = None
            return not_asked(told(text))
        facts = {key: value for key, colon, value in (line.partition(":") for line in text) if colon}
        for pair in words:
            if not isinstance(pair, ResponseError) and pair:  # CONFIG is forbidden more often than INFO
                facts[pair[0]] = pair[-1]
        self._barred = self._alarm.read(facts)
        return of_redis(facts)

    def _answered(self) -> list[str] | ResponseError:
        """The lines of a text, or the words of a list."""
        try:
            answer = self._socket.read_response()
        except ResponseError as error:
            return error
        if isinstance(answer, dict):  # where the connection speaks RESP3
            answer = [word for pair in answer.items() for word in pair]
        if isinstance(answer, list):
            return [word if isinstance(word, str) else bytes(word).decode() for word in answer]
        return (answer if isinstance(answer, str) else bytes(answer).decode()).splitlines()


def _packed(commands: Iterable[Command]) -> bytes:
    """As they go over the wire. redis-py looks at each word four times, which takes as long as kombu's part."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            text = str(word).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
