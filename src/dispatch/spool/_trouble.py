"""Why something could not be done on disk, in the words of a decision."""

from __future__ import annotations

import errno
import sqlite3
from typing import Any, Literal

import msgspec

from dispatch.errors import DispatchError, NotAccepted, OutcomeUnknown, PassedOver, SpoolFull

_WRITE_FAILED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
"""The transaction's last page, which makes it hold, was not written. A failed sync says nothing of the kind."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SPOILED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_HARMLESS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}


class Trouble(msgspec.Struct, frozen=True):
    """`unknown` alone means that it may have been done all the same."""

    verdict: Literal["full", "refused", "unknown"]
    detail: str

    def error(self, task: str, receipt: Any) -> DispatchError:
        """The same for a caller who handed in a call of `task`."""
        if self.verdict == "unknown":
            return OutcomeUnknown(f"whether the spool has the call of {task} is not known: {self.detail}", receipt)
        passed = [PassedOver("spool", self.verdict, self.detail)]
        return SpoolFull(task, passed) if self.verdict == "full" else NotAccepted(task, passed)


class Unusable(DispatchError):
    """The spool's folder or file cannot be used as it is. Says what is wrong, and the cure."""


def trouble_of(error: Exception, *, committing: bool = False) -> Trouble:
    """`error` as an answer. `committing`: it came while the transaction was being made to hold."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return Trouble(
            "full", "the disk, or the spool's file, has no room left: let the forwarder empty it, or make room"
        )
    if code == sqlite3.SQLITE_BUSY:
        return Trouble("refused", "another process holds the spool's lock; is its disk hanging?")
    text = str(error) or type(error).__name__
    if isinstance(error, Unusable):
        return Trouble("refused", text)
    if committing and code not in _WRITE_FAILED:
        return Trouble("unknown", f"the disk failed while the row was being synced: {text}")
    return Trouble("refused", f"the spool cannot be written: {text} ({type(error).__name__})")


def is_spoiled(error: Exception) -> bool:
    """Whether SQLite says that the file is no database, or not a sound one."""
    return _primary(error) in _SPOILED


def is_full(error: Exception) -> bool:
    """Whether SQLite says that the disk, or the file as far as it may grow, is full."""
    return _primary(error) == sqlite3.SQLITE_FULL


def is_harmless(error: Exception) -> bool:
    """Whether the connection is as good as before."""
    return _primary(error) in _HARMLESS


def _primary(error: Exception) -> int:
    return _code(error) & 0xFF


def _code(error: Exception) -> int:
    code = getattr(error, "sqlite_errorcode", None)  # absent where the driver itself complains
    return code if isinstance(code, int) else -1
