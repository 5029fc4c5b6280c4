"""SIGTERM ends the dispatchers in order, where the application asks for it.

A handler runs between two instructions of the main thread, which may be holding any lock: one of ours, of logging, of
the application. So it waits for nothing. It starts a thread that ends the dispatchers, and lets the main thread go on
and put down what it holds. When all is ended, that thread sends the signal once more, and whoever handled it before us
has his turn, in the main thread, as if it had come only then. docs/design.md says what else was weighed.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from time import sleep
from types import FrameType
from typing import Any, Literal, TypeAlias

from dispatch import telemetry
from dispatch._dispatcher import end_all, running
from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch.errors import NotConfigured

Earlier: TypeAlias = Callable[[int, FrameType | None], Any] | int
"""What `signal.signal` takes: a function, `SIG_DFL` or `SIG_IGN`."""

_THE_SIGNAL = signal.SIGTERM

_SEND_AFTER = (0.0, 0.05, 1.0)
"""Seconds: a signal that comes just before a thread goes to sleep in a system call does not keep it awake."""


class Sigterm:
    """The one handler of this process. Everything but the end itself happens in the main thread."""

    def __init__(self) -> None:
        self._ours: Callable[[int, FrameType | None], Any] | None = None
        self._earlier: Earlier = signal.SIG_DFL
        self._celerys = False
        self.renew()

    def renew(self) -> None:
        self._exiting = False
        self._stage: Literal["expecting", "ending", "ended", "over"] = "expecting"

    def refuse_elsewhere(self) -> None:
        """Raises `NotConfigured` where Python lets nobody handle signals."""
        if threading.current_thread() is not threading.main_thread():
            raise NotConfigured(
                "configure(handle_signals=…) works in the main thread alone, and this is "
                f"{threading.current_thread().name!r}; call it where the program starts"
            )

    def handle(self, *, wanted: bool) -> None:
        """Handle the signal from now on, or leave it to whoever handled it before.

        Raises `NotConfigured` where that one is C code, which cannot be given its turn.
        """
        if wanted and self._celerys:
            logger("shutdown").info("handle_signals does nothing in a Celery worker, which ends its processes in order")
        elif wanted:
            self._install()
        else:
            self._withdraw()

    def expect(self) -> None:
        """A dispatcher was set up anew: the next signal ends that one too."""
        if self._stage == "over":
            self._stage = "expecting"

    def leave_to_celery(self) -> None:
        """This process is a Celery worker, and so are its children."""
        if threading.current_thread() is threading.main_thread():  # a worker in a thread handles no signals
            self._celerys = True
            self._withdraw()

    def exit_begins(self) -> None:
        """The interpreter's exit ends the dispatchers itself, and goes its own way afterwards."""
        self._exiting = True

    # ---- in the main thread

    def _install(self) -> None:
        earlier = signal.getsignal(_THE_SIGNAL)
        if earlier is None:
            raise NotConfigured(
                "configure(handle_signals=True): SIGTERM is handled by C code in this process, which cannot be "
                "called from Python; let that end the process, and call dispatch.shutdown() where it does"
            )
        if earlier is not self._ours:
            # A new one each time: it may stand above another's handler, which stands above our last one.
            self._earlier = earlier
            self._ours = partial(self._on_signal, earlier)
            signal.signal(_THE_SIGNAL, self._ours)

    def _withdraw(self) -> None:
        if self._ours is not None and signal.getsignal(_THE_SIGNAL) is self._ours:
            signal.signal(_THE_SIGNAL, self._earlier)
        self._ours = None

    def _on_signal(self, earlier: Earlier, number: int, frame: FrameType | None) -> None:
        """Between any two instructions: must not wait, log, or take a lock."""
        if self._ours is not None and self._stage == "expecting":
            self._stage = "ending"
            if not self._exiting:
                self._start(number)
            return
        if self._stage == "ending":
            running.clear()  # a second one: nobody waits for the rest, not even the exit
        self._stage = "over"
        if callable(earlier):
            earlier(number, frame)
        elif earlier == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            os._exit(128 + number)  # still here: the first process of a container, whom no signal kills by default

    def _start(self, number: int) -> None:
        try:
            # Not `threading.Thread`, whose `start` waits for a lock that the interrupted code may hold.
            _thread.start_new_thread(self._end, (number, _thread.get_ident()))
        except RuntimeError:
            raise SystemExit(128 + number) from None  # no thread is to be had: the interpreter's exit ends all

    # ---- in the thread that the handler starts

    def _end(self, number: int, main: int) -> None:
        end_all()
        telemetry.flush()
        if self._stage != "ending" or self._exiting:
            return
        self._stage = "ended"
        for pause in _SEND_AFTER:
            sleep(pause)
            if self._stage == "ended":
                signal.pthread_kill(main, number)


sigterm = Sigterm()
renew_in_child(sigterm.renew)
atexit.register(sigterm.exit_begins)  # after the dispatcher's, and so it runs before
