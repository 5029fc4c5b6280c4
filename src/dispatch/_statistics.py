"""What a dispatcher and its process hold at one moment: for people, dashboards and tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from dispatch import _unread
from dispatch._growth import growth
from dispatch._memory import resident
from dispatch._units import show_size
from dispatch.transports import Destination, DestinationStatistics


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot; each figure is true of some moment close to the others. Taking one costs the calls nothing."""

    destinations: Mapping[str, DestinationStatistics]
    rss: int
    """Bytes of memory that the process holds now; where there is no `/proc`, the most it ever held."""
    threads: int
    """Python's, in the whole process."""
    unread: Mapping[tuple[str, str], int]
    """Failures that nobody read, by task and exception type, of the whole process since it started."""

    growth: Mapping[str, int] = MappingProxyType({})
    """Bytes by which worker processes have grown with calls of each task: measured before and after each call."""
    growth_estimate: Mapping[str, int] = MappingProxyType({})
    """The same of this process itself, shared each second among the tasks that ran: an estimate, for long stretches."""

    def __repr__(self) -> str:
        lines = [
            f"<Statistics {show_size(self.rss)}, {self.threads} threads, {sum(self.unread.values())} unread failures"
        ]
        lines += [f"  {name}: {each!r}" for name, each in self.destinations.items()]
        return "\n".join(lines) + ">"


def glances_of(destinations: Mapping[str, Destination]) -> Mapping[str, DestinationStatistics]:
    """The figures of these destinations for whoever must not wait for them."""
    return {name: each.glance() for name, each in destinations.items()}


def statistics_of(destinations: Mapping[str, Destination]) -> Statistics:
    """The figures of these destinations, and of the process."""
    return Statistics(
        destinations=MappingProxyType({name: each.statistics() for name, each in destinations.items()}),
        rss=resident(),
        threads=threading.active_count(),
        unread=MappingProxyType(dict(_unread.counts)),
        growth=MappingProxyType(dict(growth.measured)),
        growth_estimate=MappingProxyType(dict(growth.estimated)),
    )
