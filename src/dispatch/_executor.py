"""The one place where user code is called, for every transport, so that they cannot drift apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dispatch._outcome import Failure, Outcome, Success
from dispatch.errors import CallFailed


def execute(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outcome:
    """Call `function` and say what it did; never raises.

    Even `SystemExit` and `KeyboardInterrupt` are the task's own doing and end in its outcome: a worker that
    died of them would take calls with it that have nothing to do with the one that raised.
    """
    try:
        return Success(function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - see above
        # The first frame is this one: the user's story starts below it.
        return Failure(error, error.__traceback__.tb_next if error.__traceback__ else None)


async def execute_async(
    function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Outcome:
    """`execute` for a coroutine function, in the task and the context that it is awaited in.

    A cancellation ends in the outcome too, as `CallFailed`: raised as it is to whoever awaits the call, it would
    look as if they themselves were cancelled.
    """
    try:
        return Success(await function(*args, **kwargs))
    except (asyncio.CancelledError, GeneratorExit) as error:
        cancelled = CallFailed(f"{function.__qualname__} was cancelled while it ran")
        cancelled.__cause__ = error
        return Failure(cancelled, error.__traceback__.tb_next if error.__traceback__ else None)
    except BaseException as error:  # noqa: BLE001 - see `execute`
        return Failure(error, error.__traceback__.tb_next if error.__traceback__ else None)
