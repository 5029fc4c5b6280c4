"""Getting a spoiled file out of the way, and what can still be read of it into the new one."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dispatch._clock import wall
from dispatch.spool import _schema

_COLUMNS = (
    "id, application, broker, task, arguments, headers, durability, entered, attempt, not_before, added, size, due, "
    "owner, doubtful, tries, taken, trace, last_error, traceback"
)
_COPY = f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES ({', '.join('?' * 20)})"  # noqa: S608 - our own words only
# Damage may hide that a call was sent, and even removed: each is as good as one without an answer.
_READ = f"SELECT position, {_COLUMNS} FROM calls WHERE position > ? ORDER BY position".replace("doubtful", "1")  # noqa: S608


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be used, and what was done with it."""

    why: str
    kept_as: Path
    """The file as it was found; nothing deletes it."""
    salvaged: int
    """Calls that were copied into the new file, and will be forwarded."""

    def __str__(self) -> str:
        return f"{self.why}; kept as {self.kept_as}; {self.salvaged} calls were saved from it"


def aside(path: Path) -> Path:
    """Rename the file, and the log beside it, to a name with the date. Only for whoever is alone with it."""
    stamp = datetime.fromtimestamp(wall() / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.{stamp}.aside")
    for part in ("-wal", "-shm", ""):  # the file last: killed in between, this is done again
        with suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(kept.with_name(kept.name + part))
    return kept


def all_aside(path: Path) -> tuple[Path, ...]:
    """Every file that was ever set aside in favour of this one, oldest first."""
    begin, end = f"{path.name}.", ".aside"
    with suppress(OSError):
        return tuple(
            sorted(each for each in path.parent.iterdir() if each.name.startswith(begin) and each.name.endswith(end))
        )
    return ()


def salvage(kept: Path, into: sqlite3.Connection) -> int:
    """Copy the calls that can be read; how many. From both ends, up to where it is spoiled."""
    before = _rows(into)
    with suppress(sqlite3.Error):
        source = _schema.connect(kept, mode="ro")
        try:
            into.execute("BEGIN IMMEDIATE")
            last = _copy(source, _READ, 0, into)
            _copy(source, f"{_READ} DESC", last, into)
        finally:
            source.close()
            into.execute("COMMIT")
    return _rows(into) - before


def _copy(source: sqlite3.Connection, rows: str, beyond: int, into: sqlite3.Connection) -> int:
    """Copy until the end, or until a page that cannot be read; the last position that could."""
    position = beyond
    with suppress(sqlite3.Error):
        for position, *columns in source.execute(rows, (beyond,)):  # noqa: B007 - the last one counts
            with suppress(sqlite3.IntegrityError):  # a column that was lost to the damage
                into.execute(_COPY, columns)
    return position


def _rows(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT rows FROM totals").fetchone()[0])
