"""What the destinations hold, read when somebody collects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import add
from typing import Protocol, TypeAlias

from dispatch._clock import ticks
from dispatch._memory import resident
from dispatch.telemetry._metrics import _table as m
from dispatch.telemetry._metrics._instruments import Instruments, Reading
from dispatch.telemetry._names import DESTINATION, TRANSPORT

_STALE = 1_000_000_000
"""Nanoseconds."""

_BREAKER = {"closed": 0, "half_open": 1, "open": 2}


class Held(Protocol):
    """What one destination holds, as far as it is told here; `None` where there is no such thing."""

    @property
    def transport(self) -> str: ...
    @property
    def waiting(self) -> int: ...
    @property
    def capacity(self) -> int | None: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def max_bytes(self) -> int | None: ...
    @property
    def oldest_waiting_ns(self) -> int | None: ...
    @property
    def timers(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def abandoned(self) -> int: ...
    @property
    def alarm(self) -> str | None: ...
    @property
    def breaker(self) -> str | None: ...
    @property
    def kept(self) -> int | None: ...
    @property
    def overdue(self) -> int | None: ...
    @property
    def dead(self) -> int | None: ...


Figures: TypeAlias = Callable[[], Iterable[Mapping[str, Held]]]
"""What the destinations of each living dispatcher hold, by name; never waits for long."""


class Gauges:
    """Of one provider: a look at all destinations serves all of its gauges, once each."""

    def __init__(self, instruments: Instruments, figures: Figures) -> None:
        self._figures = figures
        self._seen: list[tuple[str, Held]] = []
        self._at = 0
        self._told: set[str] = set()
        for name in _READ:
            instruments.observe(name, partial(self._read, name))
        instruments.observe(m.PROCESS_MEMORY, lambda: [(resident(), {})])

    def _read(self, name: str) -> Reading:
        # Two dispatchers may each have a destination of this name.
        agree = add if m.METRICS[name].kind == "up_down" else max
        found: dict[tuple[tuple[str, str], ...], float] = {}
        for destination, held in self._look(name):
            for value, *said in _READ[name](held):
                if value is not None:
                    key = ((DESTINATION, destination), *said)
                    found[key] = agree(found[key], value) if key in found else value
        return [(value, dict(key)) for key, value in found.items()]

    def _look(self, name: str) -> list[tuple[str, Held]]:
        """What was seen for this collection: who asks again belongs to the next one."""
        if name in self._told or ticks() - self._at > _STALE:
            self._told = set()
            self._seen = [each for held in self._figures() for each in held.items()]
            self._at = ticks()
        self._told.add(name)
        return self._seen


_Value: TypeAlias = float | None
_Readings: TypeAlias = Iterable[tuple[_Value] | tuple[_Value, tuple[str, str]]]
"""A value, and the attribute that it has beside its destination."""


def _seconds(nanoseconds: int | None) -> _Value:
    return None if nanoseconds is None else nanoseconds / 1e9


def _of_places(read: Callable[[Held], _Value], *transports: str) -> Callable[[Held], _Readings]:
    """Of destinations that calls go to, and not of disks."""
    among = transports or ("local", "celery")
    return lambda held: [(read(held), (TRANSPORT, held.transport))] if held.transport in among else []


def _of_spools(read: Callable[[Held], _Value]) -> Callable[[Held], _Readings]:
    return lambda held: [(read(held),)] if held.transport == "spool" else []


def _breaker(held: Held) -> _Readings:
    return [] if held.breaker is None else [(_BREAKER[held.breaker],)]


def _spooled(held: Held) -> _Readings:
    if held.transport != "spool" or held.max_bytes is None:
        return []  # nobody could look
    states = {"waiting": held.waiting, "leased": held.busy, "dead": held.dead}
    return [(count, (m.SPOOL_STATE, state)) for state, count in states.items()]


def _entries(held: Held) -> _Readings:
    if held.transport != "celery" or held.kept is None:
        return []
    overdue = held.overdue or 0
    states = {"pending": held.kept - overdue, "overdue": overdue, "dead": held.dead}
    return [(count, (m.LEDGER_STATE, state)) for state, count in states.items()]


_READ: dict[str, Callable[[Held], _Readings]] = {
    m.QUEUE_SIZE: _of_places(lambda held: held.waiting),
    m.QUEUE_LIMIT: _of_places(lambda held: held.capacity),
    m.QUEUE_PAYLOAD_SIZE: _of_places(lambda held: held.bytes),
    m.QUEUE_PAYLOAD_LIMIT: _of_places(lambda held: held.max_bytes),
    m.QUEUE_DELAYED: _of_places(lambda held: held.timers, "local"),
    m.QUEUE_AGE: _of_places(lambda held: _seconds(held.oldest_waiting_ns)),
    m.WORKERS_BUSY: _of_places(lambda held: held.busy, "local"),
    m.WORKERS_LIMIT: _of_places(lambda held: held.limit, "local"),
    m.WORKERS_ABANDONED: _of_places(lambda held: held.abandoned, "local"),
    m.ALARM: _of_places(lambda held: int(held.alarm is not None)),
    m.BREAKER_STATE: _breaker,
    m.SPOOL_CALLS: _spooled,
    m.SPOOL_SIZE: _of_spools(lambda held: held.bytes),
    m.SPOOL_LIMIT: _of_spools(lambda held: held.max_bytes),
    m.SPOOL_AGE: _of_spools(lambda held: _seconds(held.oldest_waiting_ns)),
    m.LEDGER_ENTRIES: _entries,
}
