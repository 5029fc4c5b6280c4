"""The sweeper: the thread that has the ledger swept in time, in whichever process has the lock."""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from uuid import uuid4

from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch._turn import Turn
from dispatch.telemetry import messages
from dispatch.transports.celery.ledger._entry import Size, Swept
from dispatch.transports.celery.ledger._ledger import Ledger
from dispatch.transports.celery.ledger._message import headers_of

_PERIOD = 0.5
"""Seconds at most between two steps: a delayed call that another process has entered is no later than that."""

_COUNTED_EVERY = 5.0
"""Seconds between two counts of what is in the ledger."""

_COUNT_HOLDS = 30.0
"""Seconds after which a count says nothing any more."""

_SHORTEST, _LONGEST = 1.0, 30.0
"""Seconds between two tries when Redis cannot be reached."""


class Sweeper:
    """Many processes may have one; the lock lets one of them work, and another when that one is silent.

    The thread is a daemon. A failure is logged once and tried again, ever more slowly. A forked child has no sweeper
    until it starts its own.
    """

    def __init__(self, connect: Callable[[], Ledger]) -> None:
        """`connect` is called on the sweeper's thread; every wait of its client should be bounded by a few seconds."""
        self._connect = connect
        self._thread: threading.Thread | None
        self._bell: threading.Event
        self._begin()
        _sweepers.add(self)

    @property
    def size(self) -> Size | None:
        """How much was in the ledger when it was last counted; `None`: nobody has, lately."""
        size, at = self._counted
        return None if monotonic() - at > _COUNT_HOLDS else size

    def start(self) -> None:
        """Twice is once. Raises `RuntimeError` when no thread can be started any more."""
        if self._pid != os.getpid():  # a fork that ran no hooks
            self._begin()
        with _turn.lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, args=(self._bell,), name="dispatch-sweeper", daemon=True)
                thread.start()
                self._thread = thread

    def nudge(self) -> None:
        """Look now: a delayed call was entered. Waits for nobody."""
        self._bell.set()

    def stop(self, grace: float = 5.0) -> None:
        """End the thread within `grace` seconds, and let another sweeper in. Twice is once; may be started again."""
        with _turn.lock:
            thread, self._thread = self._thread, None
            bell, self._bell = self._bell, threading.Event()
        bell.set()
        if thread is not None:
            thread.join(grace)

    # ---- within

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._thread = None
        self._bell = threading.Event()
        self._counted: tuple[Size | None, float] = (None, 0.0)

    def _run(self, bell: threading.Event) -> None:
        round_ = _Round(self._connect)
        # `stop` puts another bell there.
        while bell is self._bell:
            pause = round_.step()
            if bell is self._bell and monotonic() - self._counted[1] > _COUNTED_EVERY:
                self._counted = (round_.size(), monotonic())
            bell.wait(pause)
            if bell is self._bell:
                bell.clear()
        round_.end()


class _Round:
    """One thread's sweeping: its name for the lock, its connection, and its patience."""

    def __init__(self, connect: Callable[[], Ledger]) -> None:
        self._connect = connect
        self._owner = uuid4().hex
        self._ledger: Ledger | None = None
        self._failures = 0

    def step(self) -> float:
        """Sweep once; the seconds until it should be done again. Raises nothing."""
        try:
            self._ledger = self._ledger or self._connect()
            found = self._ledger.sweep(self._owner)
            if isinstance(found, Swept):
                self._tell_dead(self._ledger, found)
        except Exception as error:  # noqa: BLE001 - whatever the network or the client raises, sweeping must go on
            return self._failed(error)
        if self._failures:
            logger("ledger").info("the ledger is swept again")
        self._failures = 0
        if isinstance(found, Swept):
            _mention(found)
            return _PERIOD if found.next_ms is None else min(found.next_ms / 1000, _PERIOD)
        return found.lock_ms / 1000 + _jitter(_PERIOD)

    def size(self) -> Size | None:
        """Counted; `None`: that cannot be done just now. Raises nothing."""
        if self._ledger is None or self._failures:
            return None
        try:
            return self._ledger.size()
        except Exception as error:  # noqa: BLE001 - as in `step`
            logger("ledger").debug("the ledger cannot be counted just now", error=repr(error))
            return None

    def end(self) -> None:
        if self._ledger is None:
            return
        try:
            self._ledger.release(self._owner)
            self._ledger.close()
        except Exception as error:  # noqa: BLE001 - the lock ends by itself
            logger("ledger").debug("the sweeper's lock was not given up", error=repr(error))

    def _tell_dead(self, ledger: Ledger, found: Swept) -> None:
        """No worker has ever heard of these to the end: it is for us to say so in their traces."""
        for call_id in found.letters:
            letter = ledger.letters.show(call_id)
            if letter is not None:
                messages.dead_lettered(
                    letter.task,
                    headers_of(letter.message),
                    call_id=call_id,
                    reason=letter.reason,
                    attempt=letter.attempt,
                    queue=letter.list_key,
                    system="redis",
                )

    def _failed(self, error: Exception) -> float:
        if not self._failures:
            logger("ledger").warning("the ledger cannot be swept just now; it is tried again", error=repr(error))
        self._failures += 1
        return _jitter(min(_SHORTEST * 2 ** min(self._failures, 5), _LONGEST))


def _jitter(seconds: float) -> float:
    """Between half of it and all of it, so that processes that failed together do not come back together."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311


def _mention(found: Swept) -> None:
    if found.buried or found.forgotten or found.stuck:
        logger("ledger").warning(
            "the sweep found calls that nobody ran, entries that could not be read, or lists that are none",
            buried=found.buried,
            forgotten=found.forgotten,
            stuck=found.stuck,
        )


_sweepers: weakref.WeakSet[Sweeper] = weakref.WeakSet()
_turn = Turn()


def _forget_all() -> None:
    for sweeper in tuple(_sweepers):
        sweeper._begin()  # noqa: SLF001 - of this module


renew_in_child(_forget_all)
