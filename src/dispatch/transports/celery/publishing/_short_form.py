"""The short way to a message on Redis: written from what Celery and kombu have made of an earlier one.

Making a message costs them ten times what it costs to write it, and most of what they find out is the same each time.
So the first plain message for a queue is made by them, and a template is taken from it; the form stays theirs,
whatever their version. What anybody has a say in, or only watches, goes the long way each time.
"""

from __future__ import annotations

import json
from itertools import count
from operator import is_
from types import FunctionType, MethodType, ModuleType
from typing import Any
from uuid import uuid4

import msgspec
from celery import signals
from celery.app import amqp
from kombu import messaging
from kombu.transport import redis
from kombu.transport.virtual import base

from dispatch.transports.celery._queues import DispatchAMQP
from dispatch.transports.celery._signer import SIGNATURE_HEADER, Signer
from dispatch.transports.celery.ledger import NO_STAMP, STAMP_HEADER, Command
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._producer import Producer

_PLAIN = frozenset({str, int, bool, type(None)})
"""Header values with one form in JSON, whoever writes it; what is derived from them may have another."""

_NAMES = frozenset({str})

_STAMP = msgspec.Raw(f' "{NO_STAMP}"'.encode())
"""The ledger finds it by the space before it."""

_before, _after, _sent = signals.before_task_publish, signals.after_task_publish, signals.task_sent


class ShortForm:
    """Belongs to one line, as what its producer has read of the app's settings does, and to that line's thread."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._app = producer.app
        self._channel = producer.channel
        self._amqp = producer.app.amqp
        self._templates: dict[str | None, _Template | None] = {}
        # A line is never another process's, so nobody else has its id.
        self._tags = map(f"{uuid4()}.{{}}".format, count(1))
        self._is_theirs = _are_theirs(self._amqp, self._channel)
        self._makers = self._made_by()

    def fits(self, message: Message) -> bool:
        """Whether nothing and nobody could tell it, in this form, from what kombu makes of it."""
        return (
            self._is_theirs
            and not message.goes_alone
            and not self._producer.sends_events
            and not (_before.receivers or _after.receivers or _sent.receivers)
            and all(map(is_, self._makers, self._made_by()))  # some wrappers are equal to what they wrap
            and type(message.body.text) is str
            and message.body.content_encoding == "utf-8"
            and _NAMES.issuperset(map(type, message.headers))
            and _PLAIN.issuperset(map(type, message.headers.values()))
            and _PLAIN.issuperset(map(type, message.lineage.values()))
        )

    def push(self, message: Message) -> Command | None:
        """The command that puts `message`, which fits, into its list; `None`: kombu has to make it."""
        template = self._templates.get(message.queue)
        if template is None or template.queue is not self._amqp.queues.get(message.queue):
            return None
        try:
            return ("LPUSH", template.key, template.text(message, next(self._tags), self._producer.signer))
        except UnicodeEncodeError:
            return None  # half a surrogate pair, which kombu escapes and UTF-8 does not have

    def learn(self, message: Message, commands: list[Command]) -> None:
        """Take the template for a queue from what kombu made of its first message that fits."""
        if message.queue not in self._templates:
            self._templates[message.queue] = self._learnt(message, commands)

    # ---- within

    def _made_by(self) -> tuple[Any, ...]:
        """What tracers and others are known to replace, at any time, in a class or on an object."""
        laid_over = vars(self._amqp)
        return (
            vars(self._app).get("amqp"),
            laid_over.get("send_task_message"),
            laid_over.get("as_task_v2"),
            type(self._amqp).as_task_v2,
            messaging.Producer.publish,
            type(self._channel).basic_publish,
        )

    def _learnt(self, message: Message, commands: list[Command]) -> _Template | None:
        """`None` where the message went another way than into one list, or has a form that was not foreseen."""
        if [command[0] for command in commands] != ["LPUSH"]:
            return None
        _, key, text = commands[0]
        try:
            wanted = json.loads(str(text))
            wanted["headers"].pop(SIGNATURE_HEADER, None)  # the one thing that is another each time
            properties = wanted["properties"]
            template = _Template(
                queue=self._amqp.queues[message.queue],
                key=key,
                envelope={**wanted, "body": b"", "headers": {}},
                headers=message.made(self._producer).headers,
            )
            written = json.loads(template.text(message, properties["delivery_tag"], None))
            # A named exchange is looked up for each message: what is bound to it may change.
            return template if written == wanted and not properties["delivery_info"]["exchange"] else None
        except Exception:  # noqa: BLE001 - of whatever shape it is, kombu will go on making it
            return None


class _Template(msgspec.Struct, frozen=True, eq=False):
    """What all plain messages for one queue have in common, while the queue is described as it was."""

    queue: Any
    key: str | int
    envelope: dict[str, Any]
    headers: dict[str, Any]
    """Celery's own; those that name the call are another one's."""

    def text(self, message: Message, tag: str, signer: Signer | None) -> str:
        """Raises `UnicodeEncodeError`."""
        headers = {
            **self.headers,
            "task": message.task,
            "id": message.id,
            "root_id": message.lineage.get("root_id") or message.id,
            "parent_id": message.lineage.get("parent_id"),
            **message.headers,
        }
        if message.terms is not None:
            headers[STAMP_HEADER] = _STAMP
        if signer is not None:
            body = message.body
            headers[SIGNATURE_HEADER] = signer.sign(headers, body.text, body.content_type, body.content_encoding)
        written = {
            **self.envelope,
            # msgspec writes bytes as kombu does, in base 64.
            "body": str(message.body.text).encode(),
            "content-type": message.body.content_type,
            "headers": headers,
            "properties": {**self.envelope["properties"], "correlation_id": message.id, "delivery_tag": tag},
        }
        return msgspec.json.encode(written).decode()


def _are_theirs(app_amqp: Any, channel: Any) -> bool:
    """Whether messages are made by Celery's and kombu's own means, with nobody's wrapper in between."""
    return (
        type(app_amqp) in (amqp.AMQP, DispatchAMQP)
        and type(channel).__module__ == redis.__name__
        and _is_of(amqp, app_amqp.as_task_v2)
        and _is_of(amqp, app_amqp.send_task_message)
        and _is_of(messaging, messaging.Producer.publish)
        and _is_of(base, channel.basic_publish)
    )


def _is_of(module: ModuleType, maker: Any) -> bool:
    # Wrappers borrow the names of what they wrap, and some of them all that can be asked for but the type.
    function = maker.__func__ if type(maker) is MethodType else maker
    return type(function) is FunctionType and function.__globals__ is vars(module)
