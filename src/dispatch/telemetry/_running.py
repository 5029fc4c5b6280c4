"""Which call runs here, asked for by whoever writes a log line."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Running(NamedTuple):
    """A call whose body runs."""

    call_id: str
    task: str


_known_by: list[Callable[[], Running | None]] = []
_running: ContextVar[Running | None] = ContextVar("dispatch.running", default=None)


def known_by(ask: Callable[[], Running | None]) -> None:
    """Have `ask` say which call runs where it is called; for those who know it anyway, and have no time to tell."""
    _known_by.append(ask)


@contextmanager
def running(call_id: str, task: str) -> Generator[None]:
    """Say that this call runs, for the length of the block and in its context; for those who have the time."""
    token = _running.set(Running(call_id, task))
    try:
        yield
    finally:
        _running.reset(token)


def running_here() -> Running | None:
    """The call whose body asks, the inner one where one runs inside another; `None` outside of all."""
    # Those who are asked come first: a context travels from the body of a call into the calls that it makes.
    for ask in _known_by:
        told = ask()
        if told is not None:
            return told
    return _running.get()
