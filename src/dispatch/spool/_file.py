"""The one file of an application's spool: opened with care, and replaced when it is spoiled.

Whoever has it open holds a shared lock on the file `….lock` beside it; whoever makes it, or sets it aside, holds that
lock alone. So no file is renamed under a process that writes to it. (flock(2), since SQLite's own locks are those of
fcntl(2), which a process loses as soon as it closes any handle of the file.)
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from time import monotonic, sleep

from dispatch._log import logger
from dispatch.spool import _folder, _schema
from dispatch.spool._salvage import Incident, aside, salvage
from dispatch.spool._trouble import Unusable, is_spoiled

_LOCK_PATIENCE = 2.0
"""Seconds. The lock is held alone while a file is made, which takes milliseconds, or mended, which may take longer."""

_PAUSE = 0.01

_SOON_READ = 16 << 20
"""Bytes. A file up to this size is read through whenever somebody is alone with it: some tens of milliseconds."""


class SpoolFile:
    """Opened and closed by one thread at a time; the connection is for that thread alone."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        """May change: it holds from the next `open` on."""
        self._tuned_for = 0
        self.connection: sqlite3.Connection | None = None
        self.incidents: tuple[Incident, ...] = ()
        """What this process had to set aside."""
        self._lock = -1
        self._number = 0
        self._suspect = False

    def open(self) -> sqlite3.Connection:
        """A connection to a sound file, the same one as long as it is good.

        Raises `Unusable`, `OSError` or `sqlite3.Error` when there is none to be had.
        """
        if self.connection is not None and self._tuned_for == self.max_bytes and self._is_still_there():
            return self.connection
        self.close()
        _folder.prepare(self.path.parent)
        try:
            if self._locks():
                self._make_sound()
                fcntl.flock(self._lock, fcntl.LOCK_SH)
            self._connect()
        except BaseException:
            self.close()
            raise
        assert self.connection is not None  # noqa: S101 - for the type checker
        return self.connection

    def suspect(self) -> None:
        """SQLite said that it is spoiled: it is looked through when it is next opened by one who is alone."""
        self._suspect = True

    def close(self) -> None:
        """Twice is once."""
        connection, self.connection = self.connection, None
        lock, self._lock = self._lock, -1
        try:
            if connection is not None:
                connection.close()
        finally:
            if lock != -1:
                os.close(lock)

    # ---- within

    def _is_still_there(self) -> bool:
        """Somebody may have removed it: what is written to it from then on is nowhere."""
        try:
            return self.path.stat().st_ino == self._number
        except OSError:
            return False

    def _locks(self) -> bool:
        """Take the lock: alone, which is true, or beside others, who have the file open."""
        lock = self.path.with_name(self.path.name + ".lock")
        _folder.touch(lock)
        self._lock = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        until = monotonic() + _LOCK_PATIENCE
        while True:
            for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
                try:
                    fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                return kind == fcntl.LOCK_EX
            if monotonic() > until:
                raise Unusable(f"{self.path} is being made or mended by another process; try again")
            sleep(_PAUSE)

    def _make_sound(self) -> None:
        """Alone: have a good file there, in the place of a bad one where need be."""
        if _folder.touch(self.path):
            self._create()
            return
        fault = self._fault()
        if fault is None:
            self._suspect = False
            return
        kept = aside(self.path)
        _folder.touch(self.path)
        self._create()
        connection = _schema.connect(self.path)
        try:
            incident = Incident(why=fault, kept_as=kept, salvaged=salvage(kept, connection))
        finally:
            connection.close()
        self.incidents = (*self.incidents, incident)
        self._suspect = False
        logger("spool").error(
            "the spool's file could not be used and was set aside",
            file=str(self.path), why=fault, kept_as=str(kept), salvaged=incident.salvaged,
        )  # fmt: skip

    def _create(self) -> None:
        connection = _schema.connect(self.path)
        try:
            _schema.create(connection)
        finally:
            connection.close()

    def _fault(self) -> str | None:
        """Why the file that is there cannot be used; `None`: it can."""
        try:
            found = _schema.found(self.path)
            if found is None:  # who made it was killed before anything was in it
                self._create()
                return None
            if isinstance(found, str):
                return f"it is another program's SQLite file ({found})"
            if found != _schema.VERSION:
                return f"its tables are of version {found}, and this dispatch knows version {_schema.VERSION}"
            connection = _schema.connect(self.path)
            try:
                thorough = self._suspect or self.path.stat().st_size <= _SOON_READ
                return _schema.is_whole(connection, self.path, thorough=thorough)
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            if not is_spoiled(error):
                raise
            return str(error)

    def _connect(self) -> None:
        _folder.inspect(self.path)
        self.connection = _schema.connect(self.path)
        self._tuned_for = self.max_bytes
        _schema.tune(self.connection, self._tuned_for)
        if self._suspect or _schema.mark(self.connection) != (_schema.APPLICATION_ID, _schema.VERSION):
            raise Unusable(
                f"{self.path} is spoiled or of another version, and another process has it open: stop that one, and "
                "the file is set aside"
            )
        self._number = self.path.stat().st_ino
