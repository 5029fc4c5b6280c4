"""The thread that waits for outcomes, so that the threads and coroutines that want them only wait for a call."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from dispatch._log import logger
from dispatch.transports.celery.results._alarm import Alarm
from dispatch.transports.celery.results._stored import Stored

_LINGER = 30.0
"""Seconds that the thread and its connection are kept when nobody waits."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts to reach a backend that fails."""


class Feed(Protocol):
    """Brings the outcomes of the calls it follows. For one thread; any method may raise what its backend raises."""

    def follow(self, ids: Iterable[str]) -> None: ...

    def leave(self, ids: Iterable[str]) -> None: ...

    def arrivals(self, timeout: float) -> Iterator[tuple[str, Stored]]: ...

    def close(self) -> None: ...


class Desk(Protocol):
    """Where the reader learns who waits, and hands in what has come."""

    def awaited(self) -> set[str]: ...

    def is_awaited(self, call_id: str) -> bool: ...

    def hand_in(self, call_id: str, found: Stored) -> None: ...

    def dismiss(self, reader: Reader) -> bool:
        """True when nobody waits, and the reader may go: nobody will `touch` it again."""


class Reader:
    """One daemon thread with one feed, which is opened anew when it fails. A failing backend settles nothing."""

    def __init__(self, desk: Desk, open_feed: Callable[[Alarm], Feed]) -> None:
        self._desk = desk
        self._open_feed = open_feed
        self._alarm = Alarm()
        self._touched: deque[str] = deque()
        self._over = threading.Event()
        self._failures = 0
        """In a row."""
        self._thread = threading.Thread(target=self._run, name="dispatch-results", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def current(self) -> bool:
        """Whether this is the thread that asks."""
        return self._thread is threading.current_thread()

    def touch(self, call_id: str) -> None:
        """Somebody began or ceased to wait for this call. Never waits."""
        self._touched.append(call_id)
        self._alarm.ring()

    def retire(self) -> None:
        """End, without waiting for it."""
        self._over.set()
        self._alarm.ring()

    def join(self, timeout: float) -> None:
        if not self.current:
            self._thread.join(timeout)

    # ---- within the thread

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 - whatever a backend raises; the thread must outlive it
                self._failures += 1
                self._rest(error)
        self._alarm.close()

    def _serve(self) -> None:
        feed = self._open_feed(self._alarm)
        try:
            following = self._desk.awaited()
            feed.follow(following)
            while not self._over.is_set():
                arrived = list(feed.arrivals(_LINGER))
                self._failures = 0
                for call_id, found in arrived:
                    following.discard(call_id)
                    self._desk.hand_in(call_id, found)
                feed.leave([call_id for call_id, _ in arrived])  # after: nobody need wait for the good-bye
                heard = self._keep_up(feed, following)
                if not (arrived or heard or following) and self._desk.dismiss(self):
                    self._over.set()
        finally:
            feed.close()

    def _keep_up(self, feed: Feed, following: set[str]) -> bool:
        """Follow whom somebody waits for now, and nobody else."""
        touched = set()
        while self._touched:
            touched.add(self._touched.popleft())
        begun = {each for each in touched - following if self._desk.is_awaited(each)}
        ended = {each for each in touched & following if not self._desk.is_awaited(each)}
        feed.follow(begun)
        feed.leave(ended)
        following |= begun
        following -= ended
        return bool(touched)

    def _rest(self, error: Exception) -> None:
        longest = min(_FIRST_PAUSE * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - to spread many processes, not to hide anything
        logger("results").warning(
            "the result backend does not answer; results are late", error=repr(error), next_try=f"{pause:.1f} s"
        )
        self._over.wait(pause)
