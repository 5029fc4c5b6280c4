"""Results of a backend that can only be asked: looked up again and again, ever less often."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from time import monotonic

from celery.backends.base import Backend

from dispatch.transports.celery.results._alarm import Alarm
from dispatch.transports.celery.results._stored import UNREADABLE, Stored, check_form, stored, unreadable

_FIRST, _LONGEST, _GROWTH = 0.02, 1.0, 1.5
"""Seconds before the second look at a call, between two late ones, and how the pause grows."""


class Polling:
    """Follows calls by their ids. For one thread."""

    def __init__(self, backend: Backend, alarm: Alarm) -> None:
        self._backend = backend
        self._alarm = alarm
        self._pauses: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []

    def follow(self, ids: Iterable[str]) -> None:
        for each in ids:
            self._pauses[each] = _FIRST
            heapq.heappush(self._due, (monotonic(), each))

    def leave(self, ids: Iterable[str]) -> None:
        for each in ids:
            self._pauses.pop(each, None)  # what stands in `_due` is skipped when its time comes

    def arrivals(self, timeout: float) -> Iterator[tuple[str, Stored]]:
        """What is there, after at most `timeout` seconds, or less when a look is due or the alarm rings."""
        if self._due:
            timeout = min(timeout, max(0.0, self._due[0][0] - monotonic()))
        if timeout > 0:
            self._alarm.wait(timeout)
        now = monotonic()
        while self._due and self._due[0][0] <= now:
            _, each = heapq.heappop(self._due)
            pause = self._pauses.get(each)
            if pause is None:
                continue
            found = look(self._backend, each)
            if found is not None:
                yield each, found
            else:
                self._pauses[each] = min(pause * _GROWTH, _LONGEST)
                heapq.heappush(self._due, (now + pause, each))

    def close(self) -> None:
        self._due.clear()


def look(backend: Backend, call_id: str) -> Stored | None:
    """The outcome, if it is there. Raises what the backend raises when it cannot be asked."""
    try:
        check_form(backend)
        return stored(backend.get_task_meta(call_id, cache=False))
    except UNREADABLE as error:
        return unreadable(error)
