"""What is counted at each call that ends: plain integers, since OpenTelemetry's `add` takes longer than a local call.

They are read when somebody collects, which is seldom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from threading import Lock
from typing import TypeAlias

from dispatch._decision import Decision
from dispatch._recorder import Finished
from dispatch.errors import NotAccepted, NotConfigured, OutcomeUnknown
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import kind_of
from dispatch.telemetry._metrics._table import MOST

Word: TypeAlias = type[BaseException] | str | None
"""What a call failed of, or why its first choice did not get it."""
Key: TypeAlias = tuple[str, str, str, str]
"""Task, destination, transport, and the word; empty where there is none."""


class Cells:
    """Where calls are counted, by how they have fared. Safe from any thread."""

    def __init__(self) -> None:
        room = count().__next__
        self.run = Tally(room)
        """Made here, and run here, or given up before that."""
        self.left = Tally(room)
        """Made here, and gone to another process."""
        self.come = Tally(room)
        """Made elsewhere, and run here."""
        self.refused = Tally(room)
        self.fallbacks = Tally(room)
        self.dropped = Cell()
        """Records that found no room."""
        self.reading = Lock()
        """To be held by whoever reads a cell."""

    @property
    def all(self) -> tuple[Tally, ...]:
        return self.run, self.left, self.come, self.refused, self.fallbacks

    def clear(self) -> None:
        """In a forked child: these were the parent's, and nobody else is here."""
        room = count().__next__
        for tally in self.all:
            tally.clear(room)
        self.dropped.clear()
        self.reading = Lock()

    def noting(self, kept: deque[Finished] | None, room: int) -> Callable[[Finished], None]:
        """What counts one call, and then puts its record into `kept`, as long as there is room. It never raises."""
        run, refused, dropped = self.run, self.refused, self.dropped

        def note(finished: Finished) -> None:
            try:
                decision = finished.decision
                tally = run if finished.ended and finished.entered and finished.decided else self._of(finished)
                if decision is None or tally is refused:
                    tally.cell(finished.spec.name, "", "", finished.error).add()
                else:
                    try:
                        cell = tally.tree[finished.spec.name][decision.destination][decision.transport][finished.error]
                    except KeyError:
                        cell = tally.cell(finished.spec.name, decision.destination, decision.transport, finished.error)
                    cell.add()
                    if decision.passed_over:
                        self._fell_back(finished, decision)
                if kept is None or tally is refused:
                    return
                if len(kept) < room:
                    kept.append(finished)
                else:
                    dropped.add()
            except Exception as failure:  # noqa: BLE001 - as `with harmless`, which would cost as much as the rest
                harmless.note(failure)

        return note

    def _of(self, finished: Finished) -> Tally:
        """Where a call belongs that was not both made here and run here."""
        error = finished.error
        # The caller decides; a record without that moment is of a call that came in a message, or from the disk.
        if not finished.entered or not finished.decided:
            return self.come
        if error is None or issubclass(error, OutcomeUnknown):
            return self.left
        return self.refused if issubclass(error, NotAccepted | NotConfigured) else self.run

    def _fell_back(self, finished: Finished, decision: Decision) -> None:
        if finished.decided:  # else whoever made it has counted that
            task, why = finished.spec.name, decision.passed_over[0].why
            self.fallbacks.cell(task, decision.destination, decision.transport, why).add()


class Cell:
    """A number that any thread may count up, without a lock: `next` on a counter is one step for the interpreter."""

    __slots__ = ("_looks", "add")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.add: Callable[[], int] = count().__next__
        self._looks = 0

    @property
    def value(self) -> int:
        """For one thread at a time, since a counter tells its number only as it gives it away: see `Cells.reading`."""
        self._looks += 1
        return self.add() - self._looks + 1


class Tally:
    """Cells by task, destination, transport and word: four small dictionaries, since a tuple is hashed at each look.

    As many as there is room for, which several tallies share; what comes after them is counted together.
    """

    __slots__ = ("_is_full", "_room", "overflow", "tree")

    def __init__(self, room: Callable[[], int]) -> None:
        """`room` tells how many cells there are already, and counts the one that is made then."""
        self.tree: dict[str, dict[str, dict[str, dict[Word, Cell]]]] = {}
        self.overflow = Cell()
        self._room = room
        self._is_full = False

    def cell(self, task: str, destination: str, transport: str, word: Word) -> Cell:
        """The one that is meant, made where it is missing. Of two threads that make it, both get the first one's."""
        known = self.tree.get(task, {}).get(destination, {}).get(transport, {}).get(word)
        if known is not None:
            return known
        if self._is_full or self._room() >= MOST:
            self._is_full = True
            return self.overflow
        made = self.tree.setdefault(task, {}).setdefault(destination, {}).setdefault(transport, {})
        return made.setdefault(word, Cell())

    def clear(self, room: Callable[[], int]) -> None:
        self.tree.clear()
        self.overflow.clear()
        self._room = room
        self._is_full = False

    def __iter__(self) -> Iterator[tuple[Key, int]]:
        # Copies: a call may end meanwhile.
        for task, by_destination in self.tree.copy().items():
            for destination, by_transport in by_destination.copy().items():
                for transport, by_word in by_transport.copy().items():
                    for word, cell in by_word.copy().items():
                        yield (task, destination, transport, _told(word)), cell.value


def _told(word: Word) -> str:
    if word is None or isinstance(word, str):
        return word or ""
    return kind_of(word)
