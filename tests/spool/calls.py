"""Calls to be spooled, and what became of them."""

from __future__ import annotations

from dispatch.spool import Entry, Verdict


def entry(number, **known):
    """A call with a small body; its id is `call-{number}`."""
    return Entry(**{"id": f"call-{number}", "broker": "queue", "task": "kitchen.brew", "arguments": b"[1, 2]", **known})


def ids(rows):
    return [row.id for row in rows]


def verdicts(rows, what, detail=""):
    return [Verdict(row.id, what, detail) for row in rows]
