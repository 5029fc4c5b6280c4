"""The rows of calls: each function is one thing to do to them, inside a transaction that somebody else ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dispatch._clock import wall
from dispatch._log import logger
from dispatch._units import show_size
from dispatch.spool._entry import Entry, Row, State, Summary, Verdict
from dispatch.spool._schema import PAGE
from dispatch.spool._trouble import Trouble

_OVERHEAD = 512
"""Bytes of a row beside its payload: ids, moments, two indexes, an error's text."""
_SMALL = PAGE // 4
_GROUND = 16 * PAGE
"""Of a file with nothing in it, and to spare."""
_PAGES = "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count"
_LONGEST_ERROR = 300
_LONGEST_TRACEBACK = 2000
"""Characters; its end says where it happened."""

_ADD = """
INSERT INTO calls (id, application, broker, task, arguments, headers, durability, entered, attempt, not_before, added,
                   size, due, doubtful, trace)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_DUE = """
SELECT position, id, application, broker, task, arguments, headers, durability, entered, attempt, not_before, added,
       doubtful OR owner IS NOT NULL, trace, tries, last_error, taken - tries
FROM calls WHERE broker = ? AND due <= ? ORDER BY due, position LIMIT ?
"""
_LEASE = """
UPDATE calls SET doubtful = doubtful OR owner IS NOT NULL, owner = ?, due = ?, taken = taken + 1 WHERE position = ?
"""
_BURY = "UPDATE calls SET owner = NULL, due = NULL, last_error = ? WHERE position = ?"
_SETTLE = """
UPDATE calls SET owner = NULL, due = ?, doubtful = doubtful OR ?, tries = tries + ?, last_error = ?, traceback = ?
WHERE id = ? AND owner = ?
"""
_REVIVE = "UPDATE calls SET due = ?, taken = tries WHERE id = ? AND due IS NULL"
_HASTEN = "UPDATE calls SET due = :now WHERE broker = :broker AND due > :now AND owner IS NULL AND not_before <= :now"
_STATE = """
CASE WHEN due IS NULL THEN 'dead' WHEN owner IS NOT NULL AND due > :now THEN 'leased'
     WHEN doubtful OR owner IS NOT NULL THEN 'unknown' ELSE 'waiting' END
"""
_LIST = f"""
SELECT id, broker, task, durability, attempt, added, due, {_STATE} AS state, tries, last_error, size,
       trace, traceback FROM calls
WHERE (:task IS NULL OR task GLOB :task) AND (:state IS NULL OR state = :state) AND added <= :before
ORDER BY position LIMIT :limit
"""  # noqa: S608 - our own words only; the values are bound
_STATE_OF = f"SELECT {_STATE} FROM calls WHERE id = :id"  # noqa: S608


def size_of(entry: Entry, headers: bytes) -> int:
    """Bytes that the entry counts for: at least what it takes in the file, where only small rows share a page."""
    size = len(entry.arguments) + len(headers) + _OVERHEAD
    return size if size <= _SMALL else -(-size // PAGE) * PAGE


def add(
    connection: sqlite3.Connection, entry: Entry, headers: bytes, *, application: str, max_bytes: int
) -> bool | Trouble:
    """Keep `entry`. True: it is a new row; False: its id has one already. Else it is full."""
    size = size_of(entry, headers)
    (taken,) = connection.execute("SELECT bytes FROM totals").fetchone()
    now = wall()
    values = (
        entry.id, application, entry.broker, entry.task, entry.arguments, headers, entry.durability, entry.entered,
        entry.attempt, entry.not_before, now, size, max(now, entry.not_before), entry.doubtful, entry.trace,
    )  # fmt: skip
    if taken + size > max_bytes or _in_use(connection) > max_bytes + _GROUND:
        if connection.execute("SELECT 1 FROM calls WHERE id = ?", (entry.id,)).fetchone():
            return False
        return Trouble(
            "full",
            f"it has calls of {show_size(taken)} of at most {show_size(max_bytes)}, and this one takes "
            f"{show_size(size)}: "
            "let the forwarder empty it, or raise its `max_bytes`",
        )
    return connection.execute(_ADD, values).rowcount == 1


def is_due(connection: sqlite3.Connection, broker: str) -> bool:
    """Whether there is a row to be taken. Only reads."""
    return (
        connection.execute("SELECT 1 FROM calls WHERE broker = ? AND due <= ?", (broker, wall())).fetchone() is not None
    )


def take(connection: sqlite3.Connection, broker: str, owner: str, count: int, until: int) -> Sequence[Row]:
    """Lease the oldest rows that are due to `owner`. A row that cannot be read is set aside, and stops nobody."""
    rows = []
    for position, *columns in connection.execute(_DUE, (broker, wall(), count)).fetchall():
        try:
            rows.append(_row(columns))
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            text = f"the row cannot be read: {error}"[:_LONGEST_ERROR]
            connection.execute(_BURY, (text, position))
            logger("spool").error("a call in the spool was set aside", dispatch_call_id=str(columns[0]), why=text)
        else:
            connection.execute(_LEASE, (owner, until, position))
    return rows


def settle(connection: sqlite3.Connection, owner: str, verdicts: Iterable[tuple[Verdict, int]]) -> None:
    """Write down what became of rows that `owner` has leased; beside each, from when on it may be taken again."""
    for verdict, due in verdicts:
        if verdict.what == "accepted":
            # Whoever has the row by now: accepted is accepted, and every further publication would be one too many.
            connection.execute("DELETE FROM calls WHERE id = ?", (verdict.id,))
            continue
        again = None if verdict.what == "never" else due
        error, traceback = verdict.detail[:_LONGEST_ERROR], verdict.traceback[-_LONGEST_TRACEBACK:] or None
        known = (again, verdict.what == "unknown", verdict.ended, error, traceback, verdict.id, owner)
        connection.execute(_SETTLE, known)


def drop(connection: sqlite3.Connection, call: str) -> State | None:
    """Remove a row; the state it was in, `None` where there was none."""
    state = state_of(connection, call)
    if state is not None:
        connection.execute("DELETE FROM calls WHERE id = ?", (call,))
    return state


def withdraw(connection: sqlite3.Connection, call: str) -> bool:
    """Remove a row that nobody has taken, and that was never sent. False: there is none, or it is too late."""
    waiting = state_of(connection, call) == "waiting"
    return waiting and connection.execute("DELETE FROM calls WHERE id = ?", (call,)).rowcount == 1


def state_of(connection: sqlite3.Connection, call: str) -> State | None:
    """The state of a row, `None` where there is none."""
    found = connection.execute(_STATE_OF, {"id": call, "now": wall()}).fetchone()
    return None if found is None else found[0]


def revive(connection: sqlite3.Connection, call: str) -> bool:
    """Have a dead row forwarded again, at once, as if it had never been taken. False where there is none."""
    return connection.execute(_REVIVE, (wall(), call)).rowcount == 1


def hasten(connection: sqlite3.Connection, broker: str) -> None:
    """Have every row that nobody has taken be due."""
    connection.execute(_HASTEN, {"broker": broker, "now": wall()})


def listing(
    connection: sqlite3.Connection, *, task: str | None, state: State | None, before: int | None, limit: int
) -> Sequence[Summary]:
    """The oldest rows that fit; `before` is a moment."""
    now = wall()
    wanted = {"task": task, "state": state, "before": now if before is None else before, "limit": limit, "now": now}
    return [
        Summary(**dict(zip(Summary.__struct_fields__, line, strict=True))) for line in connection.execute(_LIST, wanted)
    ]


def _in_use(connection: sqlite3.Connection) -> int:
    """Bytes of the file that are not free to be used again."""
    (pages,) = connection.execute(_PAGES).fetchone()
    return int(pages) * PAGE


def _row(columns: Sequence[Any]) -> Row:
    """Raises what msgspec raises, or `ValueError`, where the columns are not what was written."""
    known = dict(zip(_FIELDS, columns, strict=True))
    known["headers"] = msgspec.json.decode(known["headers"])
    row = msgspec.convert(known, Row, strict=False)
    if "\ufffd" in row.id:
        raise ValueError(f"its id is {row.id!r}")
    return row


_FIELDS = (
    "id", "application", "broker", "task", "arguments", "headers", "durability", "entered", "attempt", "not_before",
    "added", "doubtful", "trace", "tries", "last_error", "unended",
)  # fmt: skip
