"""What a spool looks like at one moment."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from dispatch._clock import wall

_COUNTS = """
SELECT count(*) FILTER (WHERE due IS NULL),
       count(*) FILTER (WHERE owner IS NOT NULL AND due > :now),
       count(*) FILTER (WHERE (doubtful AND owner IS NULL AND due IS NOT NULL) OR (owner IS NOT NULL AND due <= :now)),
       min(added)
FROM calls
"""
_ERROR = "SELECT last_error FROM calls WHERE last_error IS NOT NULL ORDER BY position DESC LIMIT 1"


class SpoolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of the file, whichever process filled it."""

    rows: int = 0
    waiting: int = 0
    leased: int = 0
    unknown: int = 0
    dead: int = 0
    bytes: int = 0
    """What the rows count for, against `max_bytes`."""
    max_bytes: int
    oldest_ns: int | None = None
    """How long the oldest row has been here."""
    syncs: int = 0
    """Transactions that were synced to disk since the file was made; each may have had many calls in it."""
    last_error: str | None = None
    """Of the youngest row that has one."""
    set_aside: tuple[Path, ...] = ()
    """Files that could not be used and were kept for somebody to look at."""


def statistics(connection: sqlite3.Connection, *, max_bytes: int, set_aside: tuple[Path, ...]) -> SpoolStatistics:
    now = wall()
    rows, size, syncs = connection.execute("SELECT rows, bytes, syncs FROM totals").fetchone()
    dead, leased, unknown, oldest = connection.execute(_COUNTS, {"now": now}).fetchone()
    error = connection.execute(_ERROR).fetchone()
    return SpoolStatistics(
        rows=rows,
        waiting=rows - dead - leased - unknown,
        leased=leased,
        unknown=unknown,
        dead=dead,
        bytes=size,
        max_bytes=max_bytes,
        oldest_ns=None if oldest is None else max(0, now - oldest),
        syncs=syncs,
        last_error=None if error is None else error[0],
        set_aside=set_aside,
    )
