"""The tasks of these tests."""

from __future__ import annotations

import threading
from typing import Any

import dispatch


@dispatch.task
def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


@dispatch.task
def echo(value: Any) -> Any:
    return value


@dispatch.task(only="local")
def keep(value: Any) -> Any:
    return value


@dispatch.task
def whose() -> int:
    return threading.get_ident()


@dispatch.task
def fail(message: str) -> None:
    raise LookupError(message)


@dispatch.task
def opaque() -> object:
    return opaque


@dispatch.task(durability="durable")
def charge(order: Any) -> Any:
    return order


@dispatch.task(durability="durable")
def order(number: int) -> str:
    """Sends further calls."""
    return greet.delay(str(number)).result(5) + charge.delay(number).status


@dispatch.task
def hold(started: threading.Event, go: threading.Event) -> bool:
    started.set()
    return go.wait(30)
