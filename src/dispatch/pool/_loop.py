"""An event loop in a daemonic thread of its own, that goes on whatever its coroutines do to it."""

from __future__ import annotations

import asyncio
import sys
import threading

from dispatch._log import logger


class LoopThread:
    """Runs its `loop` until `end`. Hand it work with `loop.call_soon_threadsafe`, at once or later."""

    def __init__(self, name: str) -> None:
        """Raises `RuntimeError` when no thread can be started any more: the interpreter is ending."""
        self.loop = asyncio.new_event_loop()
        self.errors = 0
        """How often something broke the loop; each is logged, and what it held goes on."""
        self._ended = False
        # Daemonic, so that an exit is bounded by the dispatcher's grace and not by a coroutine that never ends.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.loop.close()
            raise

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is this one."""
        return threading.current_thread() is self._thread

    def end(self) -> None:
        """Stop when what was handed in before has had its turn; coroutines still there are cancelled. Twice is once."""
        if not self._ended:
            self._ended = True
            self.loop.call_soon_threadsafe(self.loop.stop)

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._ended:
            try:
                self.loop.run_forever()
            except BaseException:  # noqa: BLE001 - an exit in a coroutine that a task left behind
                self.errors += 1
                logger("pool").exception("an event loop was broken off and goes on", thread=self._thread.name)
        try:
            self._clear()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _clear(self) -> None:
        """What `asyncio.run` does at its end."""
        strays = asyncio.all_tasks(self.loop)
        for stray in strays:
            stray.cancel()
        if strays:
            self.loop.run_until_complete(asyncio.wait(strays))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())


def unsound() -> str | None:
    """Why no loop thread can work in this process; `None`: it can.

    Where threads are greenlets, they share one native thread, and asyncio keeps one running loop for each: every
    greenlet would find itself inside the loop of another.
    """
    maker = greenlets_from()
    if maker is None:
        return None
    return f"{maker} has made greenlets of this process's threads, and an event loop needs a real one"


def greenlets_from() -> str | None:
    """The library that has replaced this process's threads by greenlets; `None`: they are threads."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None
