"""Calls that run at once, in their caller."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import msgspec

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch.errors import PassedOver
from dispatch.policy import LocalSettings
from dispatch.pool import Inside
from dispatch.testing._scene import Scene
from dispatch.testing._theatre import playing
from dispatch.transports.local import Threads

_CANVAS = ("chain", "chord", "group_id", "link", "link_error")


class Inline(Scene):
    """Runs calls as the local transport does, in the caller's thread."""

    takes = True

    def __init__(self) -> None:
        self._threads = Threads("inline", LocalSettings(transport="local"), send_again=_at_once)

    def refuses(self, call: Call, destination: str) -> PassedOver | None:
        told = call.options.celery if call.options is not None else {}
        canvas = [name for name in _CANVAS if name in told]
        if not canvas:
            return None
        return PassedOver(destination, "refused", f"{', '.join(canvas)}: inline mode does not play Celery's canvas")

    def take(self, call: Call) -> None:
        if inspect.iscoroutinefunction(call.spec.function):
            call.spec = msgspec.structs.replace(call.spec, function=_plain(call.spec.function))
        call.sent = ticks()
        with Inside(call):
            self._threads.run(call)  # a second way to run a call would drift away from the first
            while call.outcome is None:
                self._threads.run(call)  # another attempt


def _at_once(call: Call, _due: int) -> None:
    call.due = 0


def _plain(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """A function that runs a coroutine to its end, on a loop of its own: the caller's would have to wait for itself."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not _in_event_loop():
            return asyncio.run(function(*args, **kwargs))
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(copy_context().run, asyncio.run, function(*args, **kwargs)).result()

    return run


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def inline() -> Generator[None]:
    """Run every call inside the `with` at once, in the thread that makes it, before `delay` returns.

    The policy decides as if there were a broker, and `handle.decision` says where the call would have gone. What
    it raises comes through the handle. A call bound for Celery gets its arguments and its result through JSON, as it
    would there; `countdown`, `eta` and the pauses between attempts are not waited for, a `timeout` stops nobody, and
    `link` and the other words of canvas are refused.
    From a coroutine the call runs in the event loop's thread, and holds it up; a coroutine function runs on a loop
    of its own. For every dispatcher, in every thread.
    """
    with playing(Inline()):
        yield
