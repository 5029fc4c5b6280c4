"""A caller without a dispatcher: calls handed to one Celery destination, and a look into the queue behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import redis
from celery import Celery
from kombu import Connection

from dispatch._call import Call, CallOptions
from dispatch._clock import ticks
from dispatch._decision import Decision
from dispatch._ids import here
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability, Requirements
from dispatch.errors import PassedOver
from dispatch.policy import CelerySettings
from dispatch.pool import Drained
from dispatch.transports import HandOver, Pending
from dispatch.transports.celery._brokers import Broker
from dispatch.transports.celery.destination import CeleryDestination

QUORUM = {
    "task_default_queue_type": "quorum",
    "task_create_missing_queue_type": "quorum",
    "task_default_exchange_type": "topic",
    "task_create_missing_queue_exchange_type": "topic",
}
"""What makes an app describe its queues as quorum queues."""


def brew(cup: Any, *spoons: int, sugar: Any = 0, **rest: Any) -> None:
    """The task of these tests; nobody runs it."""


def spec(**known: Any) -> TaskSpec:
    return TaskSpec(
        **{"name": "kitchen.brew", "function": brew, "signature": brew, "requirements": Requirements(), **known}
    )


BREW = spec()


class Caller:
    """One destination over one broker. `settings` are those of a policy, `conf` is the app's."""

    def __init__(
        self, url: str, *, conf: Mapping[str, Any] | None = None, results: Any = None, **settings: str
    ) -> None:
        self.url = url
        self.app = Celery("kitchen", broker=url, set_as_current=False)
        self.app.conf.update(conf or {})
        self.app.task(name=BREW.name, shared=False)(brew)
        self.broker = Broker(lambda: self.app, results=results)
        model = CelerySettings.model_validate({"transport": "celery", **settings})
        self.destination = CeleryDestination("queue", model, self.broker)
        self.queue = settings.get("queue") or self.app.conf.task_default_queue

    def call(
        self,
        *args: Any,
        durability: Durability = "ephemeral",
        options: CallOptions | None = None,
        spec: TaskSpec = BREW,
        **kwargs: Any,
    ) -> Call:
        decision = Decision(
            destination="queue",
            transport="celery",
            rule="otherwise",
            reason="otherwise",
            policy_version="0",
            durability=durability,
        )
        return Call(
            spec,
            args,
            kwargs,
            copy_context(),
            decision,
            here.space,
            here.space.number(),
            ticks(),
            ticks(),
            None,
            options,
        )

    def send(self, call: Call) -> PassedOver | None:
        """As `delay` does it."""
        return self.end(*self.begin(call))

    def begin(self, call: Call) -> tuple[HandOver, Pending | PassedOver]:
        """The first half: the call is encoded and in the publisher's hands, or was passed over."""
        steps = self.destination.hand_over(call, may_wait=True)
        try:
            return steps, next(steps)
        except StopIteration as end:
            return steps, end.value

    def end(self, steps: HandOver, pending: Pending | PassedOver) -> PassedOver | None:
        """The second half: wait for the answer."""
        if isinstance(pending, PassedOver):
            return pending
        pending.wait()
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        raise AssertionError("asked to wait once more")

    async def asend(self, call: Call) -> PassedOver | None:
        """As `adelay` does it."""
        steps, pending = self.begin(call)
        if isinstance(pending, PassedOver):
            return pending
        try:
            try:
                await pending.wait_async()
            except BaseException as error:  # noqa: BLE001 - as the dispatcher does
                steps.throw(error)
            next(steps)
        except StopIteration as end:
            return end.value
        raise AssertionError("asked to wait once more")

    def brew(self, *args: Any, **kwargs: Any) -> PassedOver | None:
        return self.send(self.call(*args, **kwargs))

    def send_all(self, calls: Sequence[Call], *, threads: int) -> list[PassedOver | None]:
        """From so many threads, each with its share."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.send, calls))

    def together(self, number: int, *args: Any, **kwargs: Any) -> list[PassedOver | None]:
        """As many callers, each in a thread of its own."""
        return self.send_all([self.call(*args, **kwargs) for _ in range(number)], threads=number)

    def close(self, grace: float = 5.0) -> Drained:
        """As a shutdown does it."""
        return self.destination.close(grace, lambda call: False)

    @property
    def publisher(self) -> Any:
        return self.broker.way().publisher

    @property
    def thread(self) -> Any:
        return self.publisher._crew_.thread


@contextmanager
def calling(url: str, **options: Any) -> Iterator[Caller]:
    """A caller, whose publisher has ended when the block has."""
    caller = Caller(url, **options)
    thread = None
    try:
        yield caller
        thread = caller.thread
    finally:
        caller.close()
        if thread is not None:
            thread.join(5.0)


def messages(url: str, queue: str) -> list[dict[str, Any]]:
    """Every message in the queue, oldest first, as Celery's workers would see it; taken out on RabbitMQ."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url, socket_timeout=10) as client:
            raw = [json.loads(each) for each in reversed(client.lrange(queue, 0, -1))]
        return [{"headers": each["headers"], "properties": each["properties"], "raw": each} for each in raw]
    found = []
    with Connection(url, connect_timeout=10) as connection, connection.channel() as channel:
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append({"headers": message.headers, "properties": message.properties, "raw": message})
    return found


def ids(url: str, queue: str) -> list[str]:
    return [each["headers"]["id"] for each in messages(url, queue)]


def waiting(url: str, queue: str) -> int:
    """How many messages are in the queue; 0 when there is no queue."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url, socket_timeout=10) as client:
            return client.llen(queue)
    with Connection(url, connect_timeout=10) as connection, connection.channel() as channel:
        return channel.queue_declare(queue, passive=True).message_count
