"""The threads of a pool: who works, who is still to come, and who is kept by an item past its time.

Workers start as work arrives, until there are as many as allowed. One that falls is replaced. One that falls over its
first item is replaced after a pause, which doubles with each that does no better: whatever is wrong with all of them
must not keep the machine busy. One that is kept by an item past its time is *abandoned*: another takes its place, and
it comes back when there is one for it.

Invariants, kept by `turn`:

- `workers` and `missing` together are `limit`, less the abandoned beyond `limit`: those are not replaced, so that a
  pool has at most twice as many threads;
- `workers` is never changed, but another list put in its place: whoever looks at it needs no turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from dispatch._log import logger
from dispatch.pool._worker import Employer, Relieved, Worker, current_worker

T = TypeVar("T")

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0
"""Seconds."""


class Headcount(NamedTuple):
    """A roster at one moment."""

    workers: int
    busy: int
    abandoned: int
    finished: int
    """Items, by all workers that ever were."""
    errors: int


class Roster(Generic[T]):
    """At most `limit` workers for `employer`."""

    def __init__(self, employer: Employer[T], limit: int, changed: Callable[[], object]) -> None:
        """`changed` is called in turn, after everything that may matter to those who send."""
        self.limit = limit
        self._employer = employer
        self._changed = changed
        self.renew()

    def renew(self) -> None:
        self.turn = threading.Lock()
        self.workers: list[Worker[T]] = []
        self.missing = self.limit
        self._abandoned: list[Worker[T]] = []
        self._left_finished = self._left_errors = 0
        """By workers that have left."""

    # ---- looking at it

    @property
    def everybody(self) -> tuple[Worker[T], ...]:
        return (*self.workers, *self._abandoned)

    @property
    def stuck(self) -> bool:
        """Whether as many workers are abandoned as there may be."""
        return len(self._abandoned) >= self.limit

    def here(self) -> Worker[T] | None:
        """The worker whose thread this is, if it runs nothing else around the item in hand."""
        worker = current_worker()
        return None if worker is None or worker.depth or worker not in self.workers else worker

    def alive(self) -> Worker[T] | None:
        """A worker that has not ended, but for the calling thread; each time, since one may have been replaced."""
        here = threading.current_thread()
        with self.turn:  # one that is about to begin is among them, and not alive yet
            return next((each for each in self.workers if each is not here and each.is_alive()), None)

    def count(self) -> Headcount:
        with self.turn:
            workers, abandoned = self.workers, tuple(self._abandoned)
            finished, errors = self._left_finished, self._left_errors
        return Headcount(
            workers=len(workers),
            busy=sum(worker.busy for worker in workers),
            abandoned=len(abandoned),
            finished=finished + sum(worker.finished for worker in (*workers, *abandoned)),
            errors=errors + sum(worker.errors for worker in (*workers, *abandoned)),
        )

    # ---- changing it

    def grow(self) -> None:
        """Start one more worker, if one is missing."""
        with self.turn:
            if not self.missing or self._employer.closing.is_set():
                return
            number = max((each.number for each in self.everybody), default=0) + 1
            worker: Worker[T] = Worker(self._employer, number)
            error = self._enter(worker, self.workers)
        self._tell(error)

    def replace(self, worker: Worker[T]) -> bool:
        """Start another worker in the place of one that fell. False when none can be had: it goes on itself."""
        pause = 0.0 if worker.finished > 1 else min(_LONGEST_PAUSE, 2 * worker.pause or _FIRST_PAUSE)
        with self.turn:
            if worker in self._abandoned:
                self._abandoned.remove(worker)
                self._leave(worker)
                return True  # who took its place is there, or comes with the next item
            if worker not in self.workers:
                return True  # replaced already; or a task forked, and in the child nobody knows its worker
            replacement: Worker[T] = Worker(self._employer, worker.number, pause=pause)
            error = self._enter(replacement, [each for each in self.workers if each is not worker])
            if error is None:
                self._leave(worker)
        self._tell(error)
        return error is None

    def abandon(self, worker: Worker[T]) -> None:
        """Count on `worker` no more: the item that it runs is past its time. A new one starts in its place."""
        with self.turn:
            self.workers = [each for each in self.workers if each is not worker]
            self._abandoned.append(worker)
            self._review()
        self.grow()

    def take_back(self, worker: Worker[T]) -> None:
        """The item that kept `worker` has ended after all. Raises `Relieved` where its place is taken."""
        with self.turn:
            self._abandoned.remove(worker)
            if len(self.workers) < self.limit:
                self.workers = [*self.workers, worker]
                self._review()
                return
            worker.finished += 1
            self._leave(worker)
        raise Relieved

    # ---- in turn

    def _enter(self, worker: Worker[T], others: list[Worker[T]]) -> RuntimeError | None:
        """Have `worker` begin beside `others`; the error where the machine gives no more threads."""
        before, self.workers = self.workers, [*others, worker]  # before it starts: it looks for itself here
        try:
            worker.start()
        except RuntimeError as error:
            self.workers = before
            return error
        self._review()
        return None

    def _leave(self, worker: Worker[T]) -> None:
        self._left_finished += worker.finished
        self._left_errors += worker.errors
        self._review()

    def _review(self) -> None:
        self.missing = self.limit - max(0, len(self._abandoned) - self.limit) - len(self.workers)
        self._changed()

    # ---- out of turn

    def _tell(self, error: RuntimeError | None) -> None:
        """Whoever listens to the log may ask for statistics, which takes a turn.

        Those workers that run take the work; the next item tries again.
        """
        if error is not None:
            logger("pool").warning("a worker cannot be started", pool=self._employer.name, error=str(error))
