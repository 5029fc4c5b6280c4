"""The tasks of the suite. A worker knows them once it has imported `dispatch.testing.conformance`."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from dispatch._decorator import task

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
