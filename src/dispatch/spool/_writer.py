"""The writer: one thread per process and spool, the only one that touches the file."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch.spool._file import SpoolFile
from dispatch.spool._group import write
from dispatch.spool._receipt import Receipt
from dispatch.spool._trouble import Trouble

_WAITING = 4096
"""Receipts. More only wait where the disk hangs, and each has a caller whose patience will end."""

_SHUT_DOWN = Trouble("refused", "it was shut down; `dispatch.configure()` starts anew")
_INHERITED = Trouble(
    "refused",
    "this process was forked while its parent had the spool open, and Python's fork hooks did not run: SQLite would "
    "lose what it is given here. Fork first and configure dispatch then (uWSGI: `lazy-apps = true`)",
)
_STUCK = Trouble("refused", f"the disk does not answer, and {_WAITING} others wait for it already")

_GROUP = 256
_GROUP_BYTES = 4 << 20
"""A group shares one transaction, and its fate; whoever came first is not to wait for everybody's megabytes."""

_GATHERING = 0.002
"""Seconds. At most so long those who were just answered are given to come again, before the next sync."""

_FORK_PATIENCE = 5.0
"""Seconds that a fork waits for a transaction to end; a disk that hangs must not hang it for ever."""


class Writer:
    """Takes receipts from any thread. Whatever waits at one moment shares one transaction, and one sync.

    The thread starts with the first. It is a daemon: `close` gives it time to finish.
    """

    def __init__(self, make: Callable[[], SpoolFile]) -> None:
        self._make = make
        self._crew_ = _Crew(make())
        _writers.add(self)

    @property
    def file(self) -> SpoolFile:
        return self._crew().file

    def submit(self, receipt: Receipt[Any]) -> None:
        """Hand it to the thread. Never waits; the receipt does."""
        self._crew().post(receipt)

    def close(self, grace: float) -> bool:
        """Take nothing new, do what waits, close the file, within `grace` seconds. Whether that was enough."""
        return self._crew().close(grace)

    def before_fork(self) -> None:
        self._crew_.pause()

    def after_fork_in_parent(self) -> None:
        self._crew_.go_on()

    def after_fork_in_child(self) -> None:
        """Begin anew. An open connection of the parent's is neither used nor closed, and nothing may touch its file."""
        crew = self._crew_
        if crew.file.connection is not None:
            _inherited.append(crew.file)
        self._crew_ = _Crew(self._make())
        self._crew_.file.max_bytes = crew.file.max_bytes

    def __del__(self) -> None:
        # Nobody can hand anything in any more, and the thread would wait for it for ever.
        self._crew_.end()

    def _crew(self) -> _Crew:
        if self._crew_.pid != os.getpid():  # a fork that ran no hooks
            self.after_fork_in_child()
        return self._crew_


class _Crew:
    """The thread and what belongs to it; a forked child, where the thread is gone, gets another."""

    def __init__(self, file: SpoolFile) -> None:
        self.file = file
        self.pid = os.getpid()
        self._mail: deque[Receipt[Any]] = deque()
        self._arrival = threading.Condition()
        self._expected = 1
        self._closed = False
        self._thread: threading.Thread | None = None
        self._gate = threading.Lock()
        """Held while the file is in use; a fork takes it, so that no connection is open in between."""
        self._paused_by = 0

    def post(self, receipt: Receipt[Any]) -> None:
        if any(each.path == self.file.path for each in _inherited):
            receipt.settle(_INHERITED)
            return
        with self._arrival:
            if not self._man():
                obstacle = _SHUT_DOWN
            elif len(self._mail) >= _WAITING:
                obstacle = _STUCK
            else:
                self._mail.append(receipt)
                if len(self._mail) == 1 or len(self._mail) >= self._expected:
                    self._arrival.notify()
                return
        receipt.settle(obstacle)

    def end(self) -> None:
        with self._arrival:
            self._closed = True
            self._arrival.notify()

    def close(self, grace: float) -> bool:
        self.end()
        thread = self._thread
        if thread is not None:
            thread.join(grace)
        return thread is None or not thread.is_alive()

    def pause(self) -> None:
        """SQLite keeps its locks per process and file, in memory: a child that inherits an open connection believes
        to hold locks that only its parent has, and writes to a log that the next process deletes.
        """
        if self._gate.acquire(timeout=_FORK_PATIENCE):
            self._paused_by = threading.get_ident()
            self.file.close()

    def go_on(self) -> None:
        if self._paused_by == threading.get_ident():
            self._paused_by = 0
            self._gate.release()

    # ---- the thread

    def _man(self) -> bool:
        """Start the thread, unless it runs. False when it never will: closed, or the interpreter is ending."""
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._run, name="dispatch-spool", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return not self._closed

    def _run(self) -> None:
        while receipts := self._waiting():
            with self._gate:
                try:
                    write(self.file, receipts)
                except Exception:  # noqa: BLE001
                    # A fault of ours must not end the only thread that writes; who waits is answered by its patience.
                    logger("spool").exception("the spool's writer made a mistake")
            del receipts
        with self._gate:
            self.file.close()

    def _waiting(self) -> list[Receipt[Any]]:
        """All that waits, at least one; nothing at the end."""
        with self._arrival:
            self._expected = min(self._expected + len(self._mail), _GROUP)
            while not self._mail and not self._closed:
                self._arrival.wait()
            self._gather()
            receipts: list[Receipt[Any]] = []
            weight = 0
            while self._mail and len(receipts) < _GROUP and weight < _GROUP_BYTES:
                receipts.append(self._mail.popleft())
                weight += receipts[-1].weight
            self._expected = len(receipts)
            return receipts

    def _gather(self) -> None:
        """Those who shared the last sync were answered a moment ago, and come again at once, or never. Without this
        they would find the rest gone ahead, and every sync would have half of them.
        """
        until = monotonic() + _GATHERING
        while len(self._mail) < self._expected and not self._closed and (left := until - monotonic()) > 0:
            self._arrival.wait(left)


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_inherited: list[SpoolFile] = []
"""In a forked child: what the parent had open. Kept for ever, since forgetting a connection closes it."""


def _all(step: Callable[[Writer], None]) -> Callable[[], None]:
    def each() -> None:
        for writer in tuple(_writers):
            step(writer)

    return each


os.register_at_fork(before=_all(Writer.before_fork), after_in_parent=_all(Writer.after_fork_in_parent))
renew_in_child(_all(Writer.after_fork_in_child))
