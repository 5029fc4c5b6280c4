"""Workers that are killed again and again while calls keep coming."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

import psutil

from dispatch.embedded import Worker
from faults.logbook import Account, Logbook, account
from servers.patience import eventually
from servers.process import group
from servers.project import Project

_LONGEST_LIFE = 0.8
"""Seconds between a worker's readiness and its death."""

_A_ROUND = 1.5
"""Seconds for a worker to start, live and die, on a machine of two cores."""


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
    """Seconds for the rest, once the killing is over."""

    def run(self) -> Account:
        dice = random.Random(self.seed)
        sent: list[int] = []
        over = Event()
        sender = threading.Thread(target=self._send_all, args=(sent, over), name="sender")
        sender.start()
        try:
            for _ in range(self.kills):
                with self._worker() as worker:
                    _let_pass(dice)
                    self._kill(worker, dice)
        finally:
            over.set()
            sender.join()
        with self._worker(), suppress(AssertionError):  # the account says what is missing
            eventually(lambda: self.book.ended() >= set(sent), within=self.patience)
        return account(sent, self.book)

    def _worker(self) -> AbstractContextManager[Worker]:
        env = {"LOGBOOK": str(self.book.path), **self.env}
        return self.project.worker(pool=self.pool, concurrency=2, env=env)

    def _send_all(self, sent: list[int], over: Event) -> None:
        """At a rate by which they last about as long as the killing does."""
        pause = _A_ROUND * self.kills / self.calls
        for number in range(self.calls):
            with suppress(Exception):
                self.send(number)
                sent.append(number)
            if not over.is_set():
                over.wait(pause)

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
