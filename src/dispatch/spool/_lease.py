"""The right to forward what is bound for one broker: one forwarder at a time, across all processes."""

from __future__ import annotations

import sqlite3

from dispatch._clock import wall

_TAKE = """
INSERT INTO leases (broker, owner, since, until) VALUES (:broker, :owner, :now, :until)
ON CONFLICT (broker) DO UPDATE SET owner = :owner, since = :now, until = :until
WHERE owner = :owner OR until <= :now OR since > :now
"""
# A lease that begins in the future was taken before the clock was set back, and would last for nobody knows how long.

_ORPHANS = "UPDATE calls SET due = :now WHERE broker = :broker AND due > :now AND owner IS NOT NULL AND owner <> :owner"
_EXTEND = "UPDATE calls SET due = :until WHERE owner = :owner AND broker = :broker"


def acquire(connection: sqlite3.Connection, broker: str, owner: str, length: int) -> int | None:
    """Have the lease for `length` nanoseconds from now: its end, or `None` while another has it.

    Rows that an earlier owner left behind are free with its lease.
    """
    now = wall()
    known = {"broker": broker, "owner": owner, "now": now, "until": now + length}
    if connection.execute(_TAKE, known).rowcount == 0:
        return None
    connection.execute(_ORPHANS, known)
    return now + length


def renew(connection: sqlite3.Connection, broker: str, owner: str, length: int) -> bool:
    """Have it longer, with every row under it. False: it was lost."""
    until = acquire(connection, broker, owner, length)
    if until is not None:
        connection.execute(_EXTEND, {"owner": owner, "broker": broker, "until": until})
    return until is not None


def release(connection: sqlite3.Connection, broker: str, owner: str) -> None:
    """Let others have it at once."""
    connection.execute("DELETE FROM leases WHERE broker = ? AND owner = ?", (broker, owner))
