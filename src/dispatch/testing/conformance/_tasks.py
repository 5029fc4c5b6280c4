"""The tasks of the suite. A worker knows them once it has imported `dispatch.testing.conformance`."""

from __future__ import annotations

import asyncio
import os
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from dispatch._decorator import task
from dispatch._retry import Retry

remembered: ContextVar[str] = ContextVar("dispatch_conformance", default="nothing")


class Unlucky(Exception):
    """An exception of the application's own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@task(name="conformance.echo")
def echo(value: Any) -> Any:
    """Return what came."""
    return value


@task(name="conformance.kinds")
def kinds(*values: Any) -> list[str]:
    """The types of what came."""
    return [type(value).__name__ for value in values]


@task(name="conformance.describe")
def describe(first: int, /, second: int = 2, *rest: int, key: str, **others: int) -> list[Any]:
    """A signature with everything that a signature may have."""
    return [first, second, list(rest), key, others]


@task(name="conformance.opaque")
def opaque() -> Any:
    """Return what JSON cannot carry."""
    return opaque


@task(name="conformance.refuse")
def refuse(kind: str, message: Any) -> None:
    """Raise something."""
    raise {"value": ValueError, "key": KeyError, "type": TypeError, "own": Unlucky}[kind](message)


@task(name="conformance.leave")
def leave() -> None:
    """Try to end the process."""
    raise SystemExit(3)


@task(name="conformance.process")
def process() -> int:
    """Where this runs."""
    return os.getpid()


@task(name="conformance.recall")
def recall() -> str:
    """What the caller's context says."""
    return remembered.get()


@task(name="conformance.note")
def note(file: str, word: str) -> str:
    """Leave a trace of having run."""
    with Path(file).open("a") as out:
        out.write(word + "\n")
    return word


@task(name="conformance.hold")
def hold(started: str, go: str) -> str:
    """Say through one named pipe that it runs, and run until the other one is opened."""
    Path(started).write_text("started")
    return Path(go).read_text()


@task(name="conformance.attempt", retry=Retry(attempts=3, on=Unlucky, backoff="10ms"))
def attempt(file: str, lucky: int) -> int:
    """Fail, until the attempt with this number. Counted in the file, one line each."""
    note(file, "attempt")
    number = len(Path(file).read_text().splitlines())
    if number < lucky:
        raise Unlucky(number)
    return number


@task(name="conformance.attempt_on_loop", retry=Retry(attempts=3, on=Unlucky, backoff="10ms"))
async def attempt_on_loop(file: str, lucky: int) -> int:
    """The same in a coroutine."""
    await asyncio.sleep(0)
    return attempt(file, lucky)


@task(name="conformance.overrun", timeout="300ms")
def overrun(go: str, done: str) -> None:
    """Run until one named pipe is opened, and then say through the other one that it ran to its end."""
    Path(go).read_text()
    Path(done).write_text("went on")


@task(name="conformance.overrun_on_loop", timeout="300ms")
async def overrun_on_loop() -> None:
    """Never end."""
    await asyncio.Event().wait()


@task(name="conformance.moment")
def moment() -> float:
    """The date, in seconds since 1970."""
    return time.time()
