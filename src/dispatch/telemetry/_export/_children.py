"""A provider of ours in the processes that are forked from the one that made it."""

from __future__ import annotations

import os
from multiprocessing import util
from typing import Any

from dispatch.telemetry._export._otlp import otlp_exporter
from dispatch.telemetry._export._signal import Signal


def flush_when_children_end(provider: Any) -> None:
    """`multiprocessing` ends its children without atexit, but runs their finalizers."""
    util.register_after_fork(provider, _flush_when_this_one_ends)


def _flush_when_this_one_ends(provider: Any) -> None:
    util.Finalize(None, provider.force_flush, exitpriority=0)


class OnePerProcess:
    """OTLP exporters: a forked child would speak on its parent's connection, in between its words.

    For one thread of each process at a time.
    """

    def __init__(self, signal: Signal, first: Any) -> None:
        self._signal = signal
        self._by_pid: dict[int, Any] = {os.getpid(): first}
        """The parent's is kept in a child, where closing it would be heard at the other end."""

    def here(self) -> Any | None:
        """This process's, made where there is none yet; `None` where none is to be had."""
        pid = os.getpid()
        if pid not in self._by_pid:
            self._by_pid[pid] = otlp_exporter(self._signal)
        return self._by_pid[pid]

    def shut_down(self, **words: Any) -> None:
        exporter = self._by_pid.get(os.getpid())
        if exporter is not None:
            exporter.shutdown(**words)
