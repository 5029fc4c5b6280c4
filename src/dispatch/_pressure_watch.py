"""Watching the memory of this process, for as long as a dispatcher has calls to let in."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from dispatch._growth import growth
from dispatch._log import logger
from dispatch._memory import give_back, resident
from dispatch._pressure import Pressure

_PERIOD = 1.0
"""Seconds between two looks, each of which reads a few small files of the kernel's."""

_FAREWELL = 5.0
"""Seconds that the end waits for the thread."""


class PressureWatch:
    """A daemon thread that looks once a second, and tells after each look. Safe from any thread.

    It tells even where nothing changed: a destination that is new has not heard it yet.
    """

    def __init__(
        self, make: Callable[[], Pressure], tell: Callable[[str | None], object], *, period: float = _PERIOD
    ) -> None:
        """`tell` gets why nothing new is to be let in, or `None`; it must not wait."""
        self._make = make
        self._tell = tell
        self._period = period
        self.renew()

    def renew(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._enough = threading.Event()
        self._thread: threading.Thread | None = None
        self._pressure = self._make()

    def start(self) -> None:
        """Twice is once; after `end` it does nothing."""
        if self._runs:
            return
        with self._turn:
            if not (self._enough.is_set() or self._runs):
                self._look_safely()  # here: a thread at work is the worst moment for a fork that runs no hooks
                thread = threading.Thread(target=self._run, args=(self._enough,), name="dispatch-memory", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return  # the machine gives none just now, or the interpreter ends: the next task tries again
                self._thread = thread

    def end(self) -> None:
        """Watch no more. Twice is once; never started is fine."""
        self._enough.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and self._pid == os.getpid():
            thread.join(_FAREWELL)

    @property
    def _runs(self) -> bool:
        return self._thread is not None

    def look(self) -> None:
        """Look once, and tell."""
        was = self._pressure.is_high
        why = self._pressure.look()
        if why is not None and not was:
            logger("memory").warning("memory is short, and local destinations take nothing new", why=why)
        elif was and why is None:
            logger("memory").info("there is memory again, and local destinations take calls as before")
        self._tell(why)
        if why is not None:
            give_back()

    def _run(self, enough: threading.Event) -> None:
        while not enough.wait(self._period):
            self._look_safely()

    def _look_safely(self) -> None:
        try:
            self.look()
            growth.look(resident())
        except Exception:  # noqa: BLE001 - who cannot look must not leave others waiting for ever
            logger("memory").exception("memory could not be looked at")
            self._tell(None)
