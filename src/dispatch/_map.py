"""One call for each item. What was sent is never lost track of, even when the next send raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from dispatch._clock import ticks
from dispatch._group import Group
from dispatch._handle import Handle
from dispatch._registry import TaskSpec
from dispatch.errors import PartlySent

_TURN_NS = 1_000_000
"""How long `amap` keeps the event loop to itself: sends that need not wait would never let go of it."""


def send_each(
    send: Callable[..., Handle[Any]],
    spec: TaskSpec,
    items: Iterable[Any],
    common: tuple[Any, ...],
    common_kwargs: dict[str, Any],
) -> Group[Any]:
    """Draw one item, send it, draw the next. Raises `PartlySent` once something was sent."""
    spec.signature(None, *common, **common_kwargs)  # it asks how many there are and their names, never what they are
    sent: list[Handle[Any]] = []
    try:
        for item in items:
            sent.append(send(spec, (item, *common), common_kwargs, ticks()))  # noqa: PERF401 - what was sent is kept
    except BaseException as error:
        _hand_over(spec, sent, error)
        raise
    return Group(sent)


async def asend_each(
    asend: Callable[..., Awaitable[Handle[Any]]],
    spec: TaskSpec,
    items: Iterable[Any] | AsyncIterable[Any],
    common: tuple[Any, ...],
    common_kwargs: dict[str, Any],
) -> Group[Any]:
    """`send_each` that waits for room without blocking the event loop, and lets others run in between."""
    spec.signature(None, *common, **common_kwargs)
    sent: list[Handle[Any]] = []
    turn = ticks()

    async def send(item: Any) -> None:
        nonlocal turn
        if ticks() - turn > _TURN_NS:
            await asyncio.sleep(0)
            turn = ticks()
        sent.append(await asend(spec, (item, *common), common_kwargs, ticks()))

    try:
        if isinstance(items, AsyncIterable):
            async for item in items:
                await send(item)
        else:
            for item in items:
                await send(item)
    except BaseException as error:
        _hand_over(spec, sent, error)
        raise
    return Group(sent)


def _hand_over(spec: TaskSpec, sent: list[Handle[Any]], error: BaseException) -> None:
    """Say what was sent. An interrupt or a cancellation stays what it is, and carries it."""
    if not isinstance(error, Exception):
        error.sent = Group(sent)  # type: ignore[attr-defined]
    elif sent:
        raise PartlySent(spec.name, Group(sent), error) from error
