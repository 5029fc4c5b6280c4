"""Workers that are killed again and again while calls keep coming."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

import psutil

from dispatch.embedded import Worker
from faults.logbook import Account, Logbook
from servers.process import group
from servers.project import Project

_LONGEST_LIFE = 0.8
"""Seconds between a worker's readiness and its death."""

_A_ROUND = 1.5
"""Seconds for a worker to start, live and die, until the campaign has seen what it takes on this machine."""


@dataclass
class Campaign:
    """`calls` numbered calls, sent by `send` at a steady rate, while a worker dies `kills` times at random moments."""

    project: Project
    book: Logbook
    send: Callable[[int], object]
    """Returns once the call is safe; what it raises makes the number one that was never sent."""
    calls: int
    kills: int
    seed: int
    pool: Literal["prefork", "solo"] = "prefork"
    env: dict[str, str] = field(default_factory=dict)
    patience: float = 60.0
    """Seconds without any call that ends, once the killing is over, until the rest counts as missing."""
    pause: float = field(init=False)
    """Seconds between two calls."""

    def run(self) -> Account:
        dice = random.Random(self.seed)
        sent: list[int] = []
        over = Event()
        self.pause = _A_ROUND * self.kills / self.calls
        sender = threading.Thread(target=self._send_all, args=(sent, over), name="sender")
        sender.start()
        try:
            begun = time.monotonic()
            for round_ in range(1, self.kills + 1):
                with self._worker() as worker:
                    _let_pass(dice)
                    self._kill(worker, dice)
                left = (time.monotonic() - begun) / round_ * (self.kills - round_)
                self.pause = left / max(1, self.calls - len(sent))
        finally:
            over.set()
            sender.join()
        with self._worker():
            return self.book.wait_for(sent, patience=self.patience)

    def _worker(self) -> AbstractContextManager[Worker]:
        env = {"LOGBOOK": str(self.book.path), **self.env}
        return self.project.worker(pool=self.pool, concurrency=2, env=env)

    def _send_all(self, sent: list[int], over: Event) -> None:
        """At a rate by which they last as long as the killing does."""
        for number in range(self.calls):
            with suppress(Exception):
                self.send(number)
                sent.append(number)
            if not over.is_set():
                over.wait(self.pause)

    def _kill(self, worker: Worker, dice: random.Random) -> None:
        """One of its processes, or all; where some live on, they do so for a moment."""
        everything = group(worker.pid)
        first = dice.choice([everything, everything[:1], [dice.choice(everything)]])
        self._end(first)
        if first is not everything:
            _let_pass(dice)
            with suppress(psutil.NoSuchProcess):
                everything += group(worker.pid)
            self._end(everything)

    def _end(self, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.book.note("killed", 0, pid)


def _let_pass(dice: random.Random) -> None:
    """A part of a second, and in every other case hardly anything: some die at their first call."""
    Event().wait(dice.choice([dice.uniform(0, 0.05), dice.uniform(0, _LONGEST_LIFE)]))
