"""`select`: wait for the first of several sends and receives, as in Go."""

from __future__ import annotations

from typing import Any, Final, TypeVar, overload

from dispatch.channel._cases import Receive, Send
from dispatch.channel._channel import Channel
from dispatch.channel._selection import Case, Selected
from dispatch.channel._waiting import choose, choose_async

T = TypeVar("T")
D = TypeVar("D")

_NO_DEFAULT: Final[Any] = object()


def receive(channel: Channel[T]) -> Receive[T]:
    """A case of `select`: to receive the next item of `channel`, or to learn of its end."""
    return Receive(channel)


def send(channel: Channel[T], item: T) -> Send:
    """A case of `select`: to send `item` to `channel`."""
    return Send(channel, item)


@overload
def select(*cases: Case[T] | None, timeout: float | None = None) -> Selected[T]: ...
@overload
def select(*cases: Case[T] | None, timeout: float | None = None, default: D) -> Selected[T] | D: ...
def select(*cases: Case[T] | None, timeout: float | None = None, default: Any = _NO_DEFAULT) -> Any:
    """Wait until one of the cases can go ahead, and let it: exactly one, chosen at random when several can.

    `None` in place of a case is never ready, so that a case can be left out without moving the others. With a
    `default` nothing is waited for: it is returned when no case is ready, or, with a `timeout` as well, in time.

    Raises `TimeoutError` when the timeout passes, `ChannelClosed` when a send meets a closed channel, and `ValueError`
    when there is nothing to wait for. A receive at the end of its channel goes ahead, with `closed` set.
    """
    timeout = _patience(cases, timeout, default)
    try:
        return choose(cases, timeout)
    except TimeoutError:
        if default is _NO_DEFAULT:
            raise
        return default


@overload
async def aselect(*cases: Case[T] | None, timeout: float | None = None) -> Selected[T]: ...  # noqa: ASYNC109
@overload
async def aselect(*cases: Case[T] | None, timeout: float | None = None, default: D) -> Selected[T] | D: ...  # noqa: ASYNC109
async def aselect(*cases: Case[T] | None, timeout: float | None = None, default: Any = _NO_DEFAULT) -> Any:  # noqa: ASYNC109
    """`select` from a coroutine. Who is cancelled meanwhile has not received anything."""
    timeout = _patience(cases, timeout, default)
    try:
        return await choose_async(cases, timeout)
    except TimeoutError:
        if default is _NO_DEFAULT:
            raise
        return default


def _patience(cases: tuple[Case[Any] | None, ...], timeout: float | None, default: object) -> float | None:
    """How long to wait, after the arguments were checked."""
    if default is not _NO_DEFAULT:
        return 0 if timeout is None else timeout
    if timeout is None and not any(case is not None for case in cases):
        raise ValueError("select has no case, no default and no timeout: it would wait for ever")
    return timeout
