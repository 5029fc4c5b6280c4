"""What really ran: each task writes its beginning and its end into one file, and the one who kills notes his kills."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from servers.patience import eventually

NOTE = '''
import os, time

def note(word, number):
    """One line, written at once and 64 bytes long.

    No line crosses the end of a page: there the kernel stops to look for signals and readers see the half that is
    written. So it is there whole, or not at all.
    """
    book = os.open(os.environ["LOGBOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = f"{word} {number} {os.getpid()} {time.monotonic_ns()}"
    os.write(book, f"{line:<63}\\n".encode())
    os.close(book)
'''
"""The same for a project's module, which runs in processes of its own. One machine has one monotonic clock."""


def every(number: int) -> bool:
    """Of all calls."""
    return True


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one call, from its first line to its last, or to the death of its process."""

    number: int
    pid: int
    began: int
    ended: int
    whole: bool


class Logbook:
    """The file, and what it tells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(0o600)
        self._told: dict[str, set[int]] = defaultdict(set)
        self._read = 0

    def note(self, word: str, number: int, pid: int) -> None:
        book = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        line = f"{word} {number} {pid} {time.monotonic_ns()}"
        os.write(book, f"{line:<63}\n".encode())  # as NOTE does
        os.close(book)

    def ended(self) -> set[int]:
        """The calls that ran to their end at least once."""
        return self.numbers("ended")

    def numbers(self, word: str) -> set[int]:
        """Of which calls `word` was written. Asked again and again, it reads on where it stopped."""
        with self.path.open() as book:
            book.seek(self._read)
            for line in book:
                said, number, _, _ = line.split()
                self._told[said].add(int(number))
            self._read = book.tell()
        return self._told[word]

    def wait_for(self, sent: Iterable[int], *, patience: float = 60.0, among: Callable[[int], bool] = every) -> Account:
        """Say what became of the calls, once all have ended or none has for `patience` seconds. Needs a worker."""
        wanted = set(sent)
        with suppress(AssertionError):  # the account says what is missing
            while not self.ended() >= wanted:
                known = len(self.ended())
                eventually(lambda known=known: len(self.ended()) > known, within=patience)
        return account(wanted, self, among)

    def runs(self) -> list[Run]:
        """Every run that began. One that did not end lasted until its process was killed."""
        deaths: dict[int, list[int]] = defaultdict(list)
        open_: dict[tuple[int, int], int] = {}
        runs: list[Run] = []
        for word, number, pid, when in self._lines():
            if word == "killed":
                deaths[pid].append(when)
            elif word == "began":
                open_[number, pid] = when
            elif word == "ended":
                runs.append(Run(number, pid, open_.pop((number, pid)), when, whole=True))
        now = time.monotonic_ns()
        for (number, pid), began in open_.items():
            ended = next((when for when in deaths[pid] if when > began), now)
            runs.append(Run(number, pid, began, ended, whole=False))
        return runs

    def _lines(self) -> Iterator[tuple[str, int, int, int]]:
        for line in self.path.read_text().splitlines():
            word, number, pid, when = line.split()
            yield word, int(number), int(pid), int(when)


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the calls of a campaign."""

    sent: int
    missing: frozenset[int]
    """Never ran to their end."""
    twice: int
    """Ran to their end more than once: at least once is what was promised."""
    broken_off: int
    """Runs that were cut short by a kill."""
    overlaps: frozenset[int]
    """Two runs of one call at the same moment."""
    uncalled_for: frozenset[int]
    """Ran again, though the process that had run them lived to run another call."""

    def __str__(self) -> str:
        return (
            f"{self.sent} calls: {len(self.missing)} missing, {self.twice} ran twice, "
            f"{self.broken_off} runs were broken off, {len(self.overlaps)} overlapped, "
            f"{len(self.uncalled_for)} ran again uncalled for"
        )


def account(sent: Iterable[int], book: Logbook, among: Callable[[int], bool] = every) -> Account:
    """What became of those that were sent, `among` such numbers. Runs count also where nobody noted the call."""
    wanted = frozenset(number for number in sent if among(number))
    runs = [run for run in book.runs() if among(run.number)]
    by_call: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_call[run.number].append(run)
    ends = Counter(run.number for run in runs if run.whole)
    return Account(
        sent=len(wanted),
        missing=wanted - ends.keys(),
        twice=sum(count > 1 for count in ends.values()),
        broken_off=sum(not run.whole for run in runs),
        overlaps=frozenset(number for number, its in by_call.items() if _overlap(its)),
        uncalled_for=_uncalled_for(runs, by_call),
    )


def _overlap(runs: list[Run]) -> bool:
    in_order = sorted(runs, key=lambda run: run.began)
    return any(before.ended > after.began for before, after in pairwise(in_order))


def _uncalled_for(runs: list[Run], by_call: dict[int, list[Run]]) -> frozenset[int]:
    last = {run.pid: run for run in sorted(runs, key=lambda run: run.began)}
    in_order = (sorted(its, key=lambda run: run.began) for its in by_call.values())
    return frozenset(run.number for its in in_order for run in its[:-1] if last[run.pid] is not run)
