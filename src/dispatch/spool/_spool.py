"""The spool: calls on local disk that wait for their transport."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from dispatch._log import logger
from dispatch.errors import DispatchError
from dispatch.spool import _calls, _lease
from dispatch.spool._entry import Entry, Row, State, Summary, Verdict
from dispatch.spool._file import SpoolFile
from dispatch.spool._folder import default_folder, file_name
from dispatch.spool._ground import Ground, ground_of
from dispatch.spool._receipt import Receipt
from dispatch.spool._salvage import Incident, all_aside
from dispatch.spool._statistics import SpoolStatistics, statistics
from dispatch.spool._writer import Writer

T = TypeVar("T")

_MAX_BYTES = 1 << 30

PATIENCE = 5.0
"""Seconds. A sync takes milliseconds; a disk that is busy with other things, some hundreds."""


class Spool:
    """One application's calls in one file. Safe from any thread, and with any number of processes on the same file.

    The file is made by the first `add`. In a forked child it begins anew, by itself.
    """

    def __init__(self, application: str, *, folder: Path | None = None, max_bytes: int = _MAX_BYTES) -> None:
        """`folder`: by default `$XDG_STATE_HOME/dispatch`, or `~/.local/state/dispatch`."""
        self.application = application
        self.folder = folder if folder is not None else default_folder()
        self.max_bytes = max_bytes
        self.path = path = self.folder / file_name(application)
        self._writer = Writer(lambda: SpoolFile(path, max_bytes))
        self._listeners: tuple[Callable[[], object], ...] = ()

    def resize(self, max_bytes: int | None) -> None:
        """Take so many bytes from now on, `None`: as many as by default. Nothing is thrown away. Never waits."""
        self.max_bytes = self._writer.file.max_bytes = _MAX_BYTES if max_bytes is None else max_bytes

    @property
    def ground(self) -> Ground:
        """What the folder stands on; `ground.keeps` says whether durable calls are safe there."""
        return ground_of(self.folder)

    @property
    def incidents(self) -> Sequence[Incident]:
        """Files that this process found spoiled and set aside."""
        return self._writer.file.incidents

    # ---- callers

    def add(self, entry: Entry, *, patience: float = PATIENCE) -> bool:
        """Keep `entry`; when this returns, it is synced to disk. False: its id was there already, and stays as it was.

        Raises `SpoolFull`, `NotAccepted` with the cure, or, when the disk has not answered within `patience` seconds,
        `OutcomeUnknown`: then it may be kept.
        """
        receipt = self.submit(entry, patience=patience)
        receipt.wait()
        if receipt.trouble is not None:
            raise receipt.trouble.error(entry.task, receipt)
        return receipt.value

    def submit(self, entry: Entry, *, patience: float = PATIENCE) -> Receipt[bool]:
        """The same in two steps, for callers that wait in their own way: `wait` or `wait_async`, then `trouble`.

        Raises `TypeError` for headers that JSON cannot carry.
        """
        headers = msgspec.json.encode(entry.headers)
        receipt: Receipt[bool] = Receipt(
            lambda connection: _calls.add(
                connection, entry, headers, application=self.application, max_bytes=self.max_bytes
            ),
            patience=patience,
            weight=_calls.size_of(entry, headers),
            then=self._tell,
        )
        self._writer.submit(receipt)
        return receipt

    def listen(self, wake: Callable[[], object]) -> None:
        """Call `wake` whenever this process has added something; from the writer's thread, so it must be quick."""
        self._listeners = (*self._listeners, wake)

    def unlisten(self, wake: Callable[[], object]) -> None:
        self._listeners = tuple(each for each in self._listeners if each != wake)

    # ---- forwarders

    def is_due(self, broker: str) -> bool:
        """Whether anything bound for `broker` is to be taken now, whoever may take it. Writes nothing."""
        if not self.path.exists():
            return False
        return self._asked(lambda connection: _calls.is_due(connection, broker), writes=False)

    def take(self, broker: str, owner: str, *, count: int, lease: float) -> Sequence[Row]:
        """Lease the oldest rows that are due to `owner` for `lease` seconds; nothing while another owner has the lease.

        A row that nobody settles within the lease is taken again, and is then `doubtful`.
        """

        def work(connection: sqlite3.Connection) -> Sequence[Row]:
            until = _lease.acquire(connection, broker, owner, _ns(lease))
            return () if until is None else _calls.take(connection, broker, owner, count, until)

        return self._asked(work)

    def renew(self, broker: str, owner: str, *, lease: float) -> bool:
        """Have the lease, with all that was taken under it, for `lease` seconds from now. False: it was lost."""
        return self._asked(lambda connection: _lease.renew(connection, broker, owner, _ns(lease)))

    def settle(self, owner: str, verdicts: Sequence[tuple[Verdict, int]]) -> None:
        """Write down what became of taken rows. Beside each verdict, the moment from which it may be taken again."""
        self._asked(lambda connection: _calls.settle(connection, owner, verdicts))

    def release(self, broker: str, owner: str) -> None:
        """Let another forwarder begin at once."""
        self._asked(lambda connection: _lease.release(connection, broker, owner))

    # ---- whoever looks

    def ls(
        self, *, task: str | None = None, state: State | None = None, before: int | None = None, limit: int = 1000
    ) -> Sequence[Summary]:
        """The oldest rows, without their arguments. `task` may be a glob; `before`: added at that moment or earlier."""
        if not self.path.exists():
            return ()
        return self._asked(
            lambda connection: _calls.listing(connection, task=task, state=state, before=before, limit=limit),
            writes=False,
        )

    def drop(self, call: str) -> State | None:
        """Remove a call, or note that it has arrived after all. The state it was in: only one that was `waiting`
        has certainly not been sent. `None`: there is none of this id.
        """
        return self._asked(lambda connection: _calls.drop(connection, call)) if self.path.exists() else None

    def withdraw(self, call: str) -> bool:
        """Remove a call that has certainly not been sent. False: it may have been, there is none of this id, or the
        disk did not say. Never raises.
        """
        try:
            return self.path.exists() and self._asked(lambda connection: _calls.withdraw(connection, call))
        except DispatchError as error:
            logger("spool").debug("a call could not be withdrawn", dispatch_call_id=call, error=str(error))
            return False

    def arrived(self, call: str) -> None:
        """Its broker has it after all: it is removed soon. Never waits, so any thread may say so."""
        self._writer.submit(Receipt(lambda connection: _calls.drop(connection, call), patience=PATIENCE))

    def state(self, call: str) -> State | None:
        """The state that it is in; `None`: there is none of this id."""
        if not self.path.exists():
            return None
        return self._asked(lambda connection: _calls.state_of(connection, call), writes=False)

    def hasten(self, broker: str) -> None:
        """Whatever waits there for its next try may be taken now."""
        if self.path.exists():
            self._asked(lambda connection: _calls.hasten(connection, broker))

    def revive(self, call: str) -> bool:
        """Have a dead call forwarded again. False: there is none of this id."""
        return self.path.exists() and self._asked(lambda connection: _calls.revive(connection, call))

    def statistics(self, *, patience: float = PATIENCE) -> SpoolStatistics:
        """What the file holds. Raises `DispatchError` when that cannot be told within so many seconds."""
        set_aside = all_aside(self.path)
        if not self.path.exists():
            return SpoolStatistics(max_bytes=self.max_bytes, set_aside=set_aside)
        return self._asked(
            lambda connection: statistics(connection, max_bytes=self.max_bytes, set_aside=set_aside),
            writes=False,
            patience=patience,
        )

    def close(self, grace: float = PATIENCE) -> bool:
        """Take nothing new, and write what was handed in. False when `grace` seconds were not enough. Twice is once."""
        return self._writer.close(grace)

    # ---- within

    def _asked(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = True, patience: float = PATIENCE) -> T:
        receipt: Receipt[T] = Receipt(work, patience=patience, writes=writes)
        self._writer.submit(receipt)
        receipt.wait()
        return receipt.value

    def _tell(self) -> None:
        for wake in self._listeners:
            try:
                wake()
            except Exception:  # noqa: BLE001 - it is the writer's thread, and others wait for it
                logger("spool").exception("whoever listens to the spool failed when woken")


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
