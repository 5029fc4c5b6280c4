"""The way to the broker: whether there is one, how long it is, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any

import amqp
import msgspec
import redis
from celery import Celery
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from dispatch._finding import Fact, Finding, Seen, error, warning
from dispatch._units import show_duration
from dispatch.transports.celery.doctor._subject import Subject
from dispatch.transports.celery.publishing import NEVER_TWICE, connection, let_go

_PINGS = 20
_SLOW = 0.02
"""Seconds for one round trip: a machine in the same data centre answers in a tenth of it."""

_LOCKED_OUT = (AuthenticationError, AuthorizationError, NoPermissionError, amqp.AccessRefused, amqp.NotAllowed)
_SAYS_SO = ("WRONGPASS", "NOAUTH", "NOPERM", "ACCESS_REFUSED", "NOT_ALLOWED", "invalid password")


class Reach(msgspec.Struct, frozen=True, eq=False):
    """An open connection of kombu's, every wait on it bounded."""

    connection: Any
    channel: Any

    @property
    def redis(self) -> Any:
        """A client without kombu's key prefix, and that prefix."""
        return redis.Redis(connection_pool=self.channel.pool)

    @property
    def prefix(self) -> str:
        return str(getattr(self.channel, "global_keyprefix", "") or "")

    def ping(self) -> None:
        if hasattr(self.channel, "pool"):
            self.redis.ping()
        elif hasattr(self.channel, "confirm_select"):
            self.channel.basic_qos(0, 1, a_global=False)  # the shortest question that RabbitMQ answers


@contextmanager
def reach(app: Celery, system: str, seconds: float) -> Iterator[Reach]:
    """A connection to the app's broker. Raises what the network raises, within the bound."""
    bounds: dict[str, Any] = {"read_timeout": seconds, "write_timeout": seconds}
    if system == "redis":
        bounds = {"socket_timeout": seconds, "socket_connect_timeout": seconds, **NEVER_TWICE}
    made = connection(app, seconds, **bounds)
    try:
        yield Reach(made, made.default_channel)
    finally:
        let_go(made)


def unreached(subject: Subject, raised: BaseException) -> Finding:
    """Why there is no way."""
    about = f"broker, {subject.broker}"
    said = _told(raised)
    if any(isinstance(each, _LOCKED_OUT) for each in _chain(raised)) or any(word in said for word in _SAYS_SO):
        return error(
            "broker-refuses-login",
            about,
            f"the broker is there and lets nobody in with these credentials: {said}",
            "Look at the user, its password and what it may do, and on RabbitMQ at the virtual host in the address.",
        )
    return error(
        "broker-unreachable",
        about,
        f"no connection within {subject.seconds:g} s: {said}",
        "Start it, or mend its address: DISPATCH_BROKER_URL, or the app's broker_url. Is a firewall in between?",
    )


def distance(subject: Subject, reached: Reach) -> Iterator[Seen]:
    """How long a round trip takes."""
    took = median(_timed(reached.ping) for _ in range(_PINGS))
    shown = show_duration(round(took * 1e9))
    tightest = min((each for each in _budgets(subject)), default=None)
    if took > _SLOW or (tightest is not None and took * 1e9 * 2 > tightest):
        budget = "" if tightest is None else f"; the tightest latency budget is {show_duration(tightest)}"
        yield warning(
            "broker-slow",
            f"broker, {subject.broker}",
            f"a round trip takes {shown} (median of {_PINGS}), and a call needs two before it starts{budget}",
            "Move the broker nearer, or send what is in a hurry to a local destination: a rule on latency_budget.",
        )
    else:
        yield Fact(f"broker, {subject.broker}", f"reached, a round trip takes {shown}")


def _budgets(subject: Subject) -> Iterator[int]:
    for spec in subject.specs:
        if spec.requirements.latency_budget_ns is not None:
            yield spec.requirements.latency_budget_ns


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _chain(raised: BaseException | None) -> Iterator[BaseException]:
    while raised is not None:
        yield raised
        raised = raised.__cause__ or raised.__context__


def _told(raised: BaseException) -> str:
    return str(raised) or type(raised).__name__
