"""The index: full-text search in SQLite (FTS5), written in segments and merged one segment at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tokens import Document

_SOURCES = """
    -- An underscore belongs to a word, a dot does not: `os.path` is `os` followed by `path`.
    CREATE VIRTUAL TABLE IF NOT EXISTS sources USING fts5(
        module, names, strings, comments, path UNINDEXED, tokenize = "unicode61 tokenchars '_'"
    );
"""
_LEDGER = """
    CREATE TABLE IF NOT EXISTS segments(name TEXT PRIMARY KEY, documents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS importers(module TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""
# A word in the module's name counts most. bm25 is smaller, and below zero, for better matches; being imported by
# many adds up to half of it.
_SEARCH = """
    SELECT sources.module, path,
           bm25(sources, 8, 4, 2, 1) * (1 + min(coalesce(number, 0), 100) / 200.0) AS score,
           snippet(sources, -1, '«', '»', '…', 12)
    FROM sources LEFT JOIN importers ON importers.module = sources.module
    WHERE sources MATCH ? ORDER BY score LIMIT ?
"""
_PATIENCE = 30.0
"""Seconds to wait for another worker's commit."""


class Hit(NamedTuple):
    """One file that answers a query, with the words around the match; `«` and `»` mark what was searched for."""

    module: str
    path: str
    score: float
    snippet: str


def write_segment(path: Path, documents: Iterable[Document]) -> int:
    """Write documents into a small index of their own, anew if the file is there. Returns how many there were."""
    path.unlink(missing_ok=True)
    with _open(path) as database:
        database.executescript(_SOURCES)
        written = database.executemany(
            "INSERT INTO sources(module, names, strings, comments, path) "
            "VALUES (:module, :names, :strings, :comments, :path)",
            documents,
        )
        return max(0, written.rowcount)


def create(path: Path) -> None:
    """An empty index."""
    with _open(path) as database:
        database.execute("PRAGMA journal_mode = WAL")  # queries go on while a segment is merged
        database.executescript(_SOURCES + _LEDGER)


def merge(path: Path, segment: Path) -> int:
    """Merge a segment into the index at `path`, all of it or nothing. Returns how many documents came with it.

    Merging a segment again does nothing: a durable call runs at least once, and so perhaps twice.
    """
    with _open(path) as database:
        # A plain `ATTACH` would make a missing file.
        database.execute("ATTACH ? AS segment", (f"{segment.absolute().as_uri()}?mode=rw",))
        database.execute("BEGIN IMMEDIATE")
        (documents,) = database.execute("SELECT count(*) FROM segment.sources").fetchone()
        first = database.execute("INSERT OR IGNORE INTO segments VALUES (?, ?)", (segment.name, documents))
        if first.rowcount:
            database.execute("INSERT INTO main.sources SELECT * FROM segment.sources")
        database.commit()
        return int(documents)


def set_importers(path: Path, numbers: Mapping[str, int]) -> None:
    """How many modules import each module, in place of what was known."""
    with _open(path) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM importers")
        database.executemany("INSERT INTO importers VALUES (?, ?)", numbers.items())
        database.commit()


def committed(path: Path) -> dict[str, int]:
    """The segments in the index, and how many documents each one brought."""
    with _open(path) as database:
        return dict(database.execute("SELECT name, documents FROM segments ORDER BY name"))


def search(path: Path, query: str, limit: int = 3) -> list[Hit]:
    """The best answers to a query. Every word of it must occur; `os.path` is a phrase, `walk*` a beginning."""
    with _open(path) as database:
        return [Hit(*row) for row in database.execute(_SEARCH, (_match(query), limit))]


def has_fts5() -> bool:
    """Whether the SQLite of this Python can do full-text search."""
    with closing(sqlite3.connect(":memory:")) as database:
        return bool(database.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0])


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    # No transaction but those we begin; `uri` for the ATTACH in `merge`.
    with closing(sqlite3.connect(path.absolute().as_uri(), _PATIENCE, isolation_level=None, uri=True)) as database:
        yield database


def _match(query: str) -> str:
    """A query in FTS5's own language, in which a dot or a quote would be a mistake."""
    words = []
    for word in query.split():
        prefix = word.endswith("*")
        words.append('"' + word.rstrip("*").replace('"', '""') + '"' + "*" * prefix)
    return " ".join(words)
