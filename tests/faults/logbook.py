"""What really ran: each task writes its beginning and its end into one file, and the one who kills notes his kills."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

NOTE = '''
import os, time

def note(word, number):
    """One line, written at once: the kernel appends it whole, or not at all."""
    book = os.open(os.environ["LOGBOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(book, f"{word} {number} {os.getpid()} {time.monotonic_ns()}\\n".encode())
    os.close(book)
'''
"""The same for a project's module, which runs in processes of its own. One machine has one monotonic clock."""


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
        os.write(book, f"{word} {number} {pid} {time.monotonic_ns()}\n".encode())
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

    def __str__(self) -> str:
        return (
            f"{self.sent} calls: {len(self.missing)} missing, {self.twice} ran twice, "
            f"{self.broken_off} runs were broken off, {len(self.overlaps)} overlapped"
        )


def account(sent: Iterable[int], book: Logbook) -> Account:
    wanted, runs = frozenset(sent), book.runs()
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
    )


def _overlap(runs: list[Run]) -> bool:
    in_order = sorted(runs, key=lambda run: run.began)
    return any(before.ended > after.began for before, after in pairwise(in_order))
