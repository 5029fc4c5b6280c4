"""Calls that run at once, in their caller."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch.errors import PassedOver
from dispatch.policy import LocalSettings
from dispatch.testing._scene import Scene
from dispatch.testing._theatre import playing
from dispatch.transports.local import LocalDestination

_CANVAS = ("chain", "chord", "group_id", "link", "link_error")


class Inline(Scene):
    """Runs calls as the local transport does, without its threads."""

    takes = True

    def __init__(self) -> None:
        self._place = LocalDestination("inline", LocalSettings(transport="local"))

    def refuses(self, call: Call, destination: str) -> PassedOver | None:
        told = call.options.celery if call.options is not None else {}
        canvas = [name for name in _CANVAS if name in told]
        if not canvas:
            return None
        return PassedOver(destination, "refused", f"{', '.join(canvas)}: inline mode does not play Celery's canvas")

    def take(self, call: Call) -> None:
        call.sent = ticks()
        self._place._run(call)  # noqa: SLF001 - a second way to run a call would drift away from the first


@contextmanager
def inline() -> Generator[None]:
    """Run every call inside the `with` at once, in the thread that makes it, before `delay` returns.

    The policy decides as if there were a broker, and `handle.decision` says where the call would have gone. What
    it raises comes through the handle. A call bound for Celery gets its arguments and its result through JSON, as it
    would there; `countdown` and `eta` are not waited for, and `link` and the other words of canvas are refused.
    From a coroutine the call runs in the event loop's thread, and holds it up. For every dispatcher, in every thread.
    """
    with playing(Inline()):
        yield
