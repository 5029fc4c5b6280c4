"""The tables of a spool's file, and the connection that is right for them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

APPLICATION_ID = 0x44535001
"""In the head of each file, so that another program's SQLite file is told from ours: `DSP`, and a 1."""

VERSION = 1
"""Of the tables; in the head, too."""

PAGE = 4096

_TABLES = """
CREATE TABLE calls (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    application TEXT NOT NULL,
    broker TEXT NOT NULL,
    task TEXT NOT NULL,
    durability TEXT NOT NULL,
    entered INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    added INTEGER NOT NULL,
    size INTEGER NOT NULL,
    due INTEGER,
    owner TEXT,
    doubtful INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0,
    trace TEXT NOT NULL DEFAULT '',
    last_error TEXT,
    traceback TEXT,
    headers BLOB NOT NULL,
    arguments BLOB NOT NULL
);
CREATE INDEX calls_due ON calls (broker, due);
CREATE TABLE leases (broker TEXT PRIMARY KEY, owner TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE totals (rows INTEGER NOT NULL, bytes INTEGER NOT NULL, syncs INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0);
CREATE TRIGGER call_added AFTER INSERT ON calls BEGIN
    UPDATE totals SET rows = rows + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER call_removed AFTER DELETE ON calls BEGIN
    UPDATE totals SET rows = rows - 1, bytes = bytes - old.size;
END;
"""
# `due` is the moment from which a row may be taken, and so all that a forwarder looks for: for a leased row the end of
# its lease, for a dead one NULL, which is never reached. An `owner` is the forwarder that has it leased. What may be
# long stands last, so that counting does not read it.

_BUSY = 2.0
"""Seconds to wait for another process's transaction: a sync takes milliseconds."""

_WAL_PAGES = 256
"""The write-ahead log is copied into the file when it has so many: on a full disk, so much room must be made before
anything can be taken out again.
"""

_SPARE = 256
"""Pages, for bookkeeping in a file that is full."""


def connect(path: Path, *, mode: str = "rw") -> sqlite3.Connection:
    """Open the file, which must be there. Each transaction is begun and ended by hand. One thread at a time."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY,
        isolation_level=None,
        check_same_thread=False,
    )
    # One bad letter must not make a row unreadable, and so immovable.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def tune(connection: sqlite3.Connection, max_bytes: int) -> None:
    """What SQLite forgets with each connection: to sync each commit, and how much the file may grow."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: a plain fsync leaves it in the drive's memory
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_PAGES * PAGE}")  # beyond, it is cut when it was copied
    # A file that is full still has room to lease its rows, to note errors in them, and to take them out.
    connection.execute(f"PRAGMA max_page_count = {max_bytes // PAGE * 2 + _SPARE}")


def found(file: Path) -> int | str | None:
    """What an existing file says that it is: `VERSION` or another, `None` for nothing yet, a name for a stranger's.

    Raises `sqlite3.DatabaseError` where it is no database.
    """
    connection = connect(file, mode="ro")  # a stranger's is left as it is
    try:
        application, version = mark(connection)
        if application == APPLICATION_ID:
            return version
        empty = application == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        return None if empty else f"application_id {application:#x}"
    finally:
        connection.close()


def mark(connection: sqlite3.Connection) -> tuple[int, int]:
    """What stands in the head of the file: `APPLICATION_ID` and `VERSION`, where it is ours."""
    return _number(connection, "application_id"), _number(connection, "user_version")


def create(connection: sqlite3.Connection) -> None:
    """Make an empty file a spool, whole or not at all."""
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def is_whole(connection: sqlite3.Connection, path: Path, *, thorough: bool) -> str | None:
    """What is wrong with the file; `None`: nothing. Only for whoever is alone with it.

    Always looked at: whether it was cut short. `thorough` reads every page.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    pages = _number(connection, "page_count")
    size = path.stat().st_size
    if size != pages * _number(connection, "page_size"):
        return f"it should have {pages} pages, and is {size} bytes long"
    if thorough:
        said = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        return None if said == "ok" else said
    return None


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
