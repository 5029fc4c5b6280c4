"""One call for each item. What was sent is never lost track of, even when the next send raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, TypeAlias

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch._convoy import Convoy
from dispatch._group import Group
from dispatch._handle import Handle
from dispatch._registry import TaskSpec
from dispatch._steps import Steps, block, leave_free

Start: TypeAlias = Callable[[TaskSpec, tuple[Any, ...], dict[str, Any], int], Handle[Any] | Steps]

_TURN_NS = 1_000_000
"""How long `amap` keeps the event loop to itself: sends that need not wait would never let go of it."""


def send_each(
    start: Start, spec: TaskSpec, items: Iterable[Any], common: tuple[Any, ...], common_kwargs: dict[str, Any]
) -> Group[Any]:
    """Draw one item, send it, draw the next. Raises `PartlySent` once something was sent."""
    spec.signature(None, *common, **common_kwargs)  # it asks how many there are and their names, never what they are
    convoy = Convoy(lambda item: start(spec, (item, *common), common_kwargs, ticks()), spec)
    with telemetry.MapSpan(spec.name, convoy.tally):
        try:
            for item in items:
                steps = convoy.send(item)
                if steps is not None:
                    block(steps)
            block(convoy.arrive())
        except BaseException as error:
            block(convoy.stop())
            _tell(convoy, error)
            raise
    return convoy.group


async def asend_each(
    start: Start,
    spec: TaskSpec,
    items: Iterable[Any] | AsyncIterable[Any],
    common: tuple[Any, ...],
    common_kwargs: dict[str, Any],
) -> Group[Any]:
    """`send_each` that waits without blocking the event loop, and lets others run in between."""
    spec.signature(None, *common, **common_kwargs)
    convoy = Convoy(lambda item: start(spec, (item, *common), common_kwargs, ticks()), spec)
    turn = ticks()

    async def send(item: Any) -> None:
        nonlocal turn
        if ticks() - turn > _TURN_NS:
            await asyncio.sleep(0)
            turn = ticks()
        steps = convoy.send(item)
        if steps is not None:
            await leave_free(steps)

    with telemetry.MapSpan(spec.name, convoy.tally):
        try:
            if isinstance(items, AsyncIterable):
                async for item in items:
                    await send(item)
            else:
                for item in items:
                    await send(item)
            await leave_free(convoy.arrive())
        except BaseException as error:
            await leave_free(convoy.stop())
            _tell(convoy, error)
            raise
    return convoy.group


def _tell(convoy: Convoy, error: BaseException) -> None:
    """Say what was sent. An interrupt or a cancellation stays what it is, and carries it."""
    if not isinstance(error, Exception):
        error.sent = convoy.group  # type: ignore[attr-defined]
        return
    account = convoy.account(error)
    if account is not None:
        raise account from error
