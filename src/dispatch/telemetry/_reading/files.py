"""Trace files, line by line, whichever way they are kept."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Read = TypeVar("Read")

_TRACE_FILE = re.compile(r"\.jsonl?(\.\d+)?(\.gz)?$")
"""Ours, rotated ones, and whole documents as other tools save them."""


class Files:
    """The trace files in the directory `place`, or the file `place`; none where there is no such directory.

    What is damaged is counted and left out.
    """

    def __init__(self, place: str | Path) -> None:
        self.paths = _paths(Path(place))
        self.damaged = 0
        """Lines that could not be read: torn, foreign, or no text at all."""
        self.first_damage = ""
        """The first of them: file, line and what is wrong."""

    def read(self, parse: Callable[[bytes], Iterable[Read]]) -> Iterator[Read]:
        """What `parse` makes of each line, file after file; it raises `ValueError` for a line that is damaged."""
        for path in self.paths:
            yield from self._file(path, parse)

    def _file(self, path: Path, parse: Callable[[bytes], Iterable[Read]]) -> Iterator[Read]:
        number = 0
        try:
            for number, line in enumerate(_lines(path), 1):
                if not line.isspace():
                    try:
                        yield from parse(line)
                    except ValueError as error:
                        self.note(path, number, error)
        except (OSError, EOFError, zlib.error) as error:
            # A compressed file that was cut off still gives what stands before the cut.
            self.note(path, number + 1, error)

    def note(self, path: Path, line: int, error: Exception) -> None:
        """Count a damaged line."""
        self.damaged += 1
        self.first_damage = self.first_damage or f"{path.name}:{line}: {error}"


def _paths(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place] if place.is_file() else []
    return sorted(path for path in place.iterdir() if _TRACE_FILE.search(path.name) and path.is_file())


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        if ".jsonl" in path.name:
            yield from file
            return
        # A document may be laid out over many lines, or be lines all the same.
        text = file.read()
        yield from text.splitlines() if _is_lines(text) else [text]


def _is_lines(text: bytes) -> bool:
    first = text.lstrip().partition(b"\n")[0].rstrip()
    return first.startswith(b"{") and first.endswith(b"}")
