"""What a dispatcher and its process hold at one moment: for people, dashboards and tests."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dispatch import _unread
from dispatch._units import show_size
from dispatch.transports import Destination, DestinationStatistics

_STATM = Path("/proc/self/statm")
"""In pages; the second figure is what is resident (proc(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A snapshot; each figure is true of some moment close to the others. Taking one costs the calls nothing."""

    destinations: Mapping[str, DestinationStatistics]
    rss: int
    """Bytes of memory that the process holds now; where there is no `/proc`, the most it ever held."""
    threads: int
    """Python's, in the whole process."""
    unread: Mapping[tuple[str, str], int]
    """Failures that nobody read, by task and exception type, of the whole process since it started."""

    def __repr__(self) -> str:
        lines = [
            f"<Statistics {show_size(self.rss)}, {self.threads} threads, {sum(self.unread.values())} unread failures"
        ]
        lines += [f"  {name}: {each!r}" for name, each in self.destinations.items()]
        return "\n".join(lines) + ">"


def statistics_of(destinations: Mapping[str, Destination]) -> Statistics:
    """The figures of these destinations, and of the process."""
    return Statistics(
        destinations=MappingProxyType({name: each.statistics() for name, each in destinations.items()}),
        rss=_rss(),
        threads=threading.active_count(),
        unread=MappingProxyType(dict(_unread.counts)),
    )


def _rss() -> int:
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024  # getrusage(2): bytes there, KiB elsewhere
