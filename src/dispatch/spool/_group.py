"""Receipts that share one transaction, and its sync."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from dispatch.spool._file import SpoolFile
from dispatch.spool._receipt import Receipt
from dispatch.spool._trouble import Trouble, is_full, is_harmless, is_spoiled, trouble_of

_COUNT = "UPDATE totals SET syncs = syncs + 1"


def write(file: SpoolFile, receipts: Sequence[Receipt[Any]]) -> None:
    """Do what the receipts ask for and answer each. Never raises what the disk or the file raise.

    What spoils it for all may be the fault of one, and where there was no room there may be some now: then each is
    done by itself.
    """
    failure = _together(file, receipts)
    if failure is None:
        return
    for receipt in receipts:
        last: _Failure | None = failure
        if failure.again and file.connection is not None:
            last = _together(file, [receipt])
        if last is not None:
            receipt.settle(last.trouble)


class _Failure(NamedTuple):
    trouble: Trouble
    again: bool
    """Whether it may go better if each is done by itself."""


def _together(file: SpoolFile, receipts: Sequence[Receipt[Any]]) -> _Failure | None:
    """One transaction. `None` when every receipt has its answer; else nothing is kept, or it is not known."""
    begun: list[Receipt[Any]] = []
    committing = False
    try:
        connection = file.open()
        # A caller whose patience ends while the file is opened, or another process has it locked, has lost nothing.
        connection.execute("BEGIN IMMEDIATE" if any(receipt.writes for receipt in receipts) else "BEGIN")
        before = connection.total_changes
        begun = [receipt for receipt in receipts if receipt.begin()]
        answers = [receipt.work(connection) for receipt in begun]
        if connection.total_changes != before:
            connection.execute(_COUNT)
        committing = True
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - a disk, a file, an argument that no database takes
        _roll_back(file, error)
        trouble = trouble_of(error, committing=committing)
        return _Failure(trouble, bool(begun) and trouble.verdict != "unknown")
    for receipt, answer in zip(begun, answers, strict=True):
        receipt.settle(answer)
    return None


def _roll_back(file: SpoolFile, error: Exception) -> None:
    if file.connection is not None:
        with suppress(sqlite3.Error):  # where it says that the disk is full, SQLite may have done so itself
            file.connection.execute("ROLLBACK")
        if is_full(error):
            # The log has each page as often as it was written. What it has is put into the file, and its room is free.
            with suppress(sqlite3.Error):
                file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_spoiled(error):
        file.suspect()
    if isinstance(error, sqlite3.Error | OSError) and not is_harmless(error):
        with suppress(sqlite3.Error):
            file.close()
