"""Trace files while they are being written: what was added since the last look."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

from dispatch.telemetry._reading.otlp_json import spans as spans_of
from dispatch.telemetry._reading.span import Span

_Identity: TypeAlias = tuple[int, int]

_GROWING = re.compile(r"\.jsonl(\.\d+)?$")
"""Compressed files and whole documents do not grow."""


class Following:
    """The trace files in the directory `place`, or the file `place`, whether or not they are there yet.

    A file is known by its inode: one that is renamed is read on, and a new one of its name from its beginning.
    """

    def __init__(self, place: Path, *, last: int) -> None:
        """Of each file that is there already, the `last` bytes are read."""
        self._place = place
        self._last: int | None = last
        """`None` after the first look."""
        self._read: dict[_Identity, int] = {}
        """How far each file was read; a line that is half written is left for later."""
        self.is_cut = False
        """Whether there was more than that."""
        self.damaged = 0
        """Lines that could not be read, and were left out."""
        self.first_damage = ""

    def look(self) -> Iterator[Span]:
        """The spans that were written since the last look; take them all."""
        seen: dict[_Identity, int] = {}
        for path in self._paths():
            try:
                status = path.stat()
                identity = (status.st_dev, status.st_ino)
                if self._read.get(identity) == status.st_size:
                    seen[identity] = status.st_size
                elif identity not in seen and self._is_ours(path, identity):
                    yield from self._file(path, seen)
            except OSError:  # it has just been renamed or removed
                continue
        # What is gone is forgotten: its inode may be given to a new file.
        self._read, self._last = seen, None

    def _paths(self) -> list[Path]:
        folder = self._place if self._place.is_dir() else self._place.parent
        if not folder.is_dir():
            return []
        # The last rotated first, so that its end is read before the beginning of the one that followed it.
        found = sorted((path for path in folder.iterdir() if _GROWING.search(path.name)), reverse=True)
        return found if folder == self._place else [*found, self._place]

    def _is_ours(self, path: Path, identity: _Identity) -> bool:
        """Of a single file, also what it was before it was rotated."""
        return path == self._place or self._place.is_dir() or identity in self._read

    def _file(self, path: Path, seen: dict[_Identity, int]) -> Iterator[Span]:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino)
            read = self._read.get(identity)
            if read is None:
                read = self._beginning(file, status.st_size)
            elif status.st_size < read:
                read = 0  # it was emptied, and is written anew
            seen[identity] = read
            file.seek(read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                seen[identity] += len(line)
                yield from self._line(path, line)

    def _beginning(self, file: BufferedReader, size: int) -> int:
        """Where to begin in a file that is new to us: at the beginning of a line."""
        if self._last is None or size <= self._last:
            return 0
        self.is_cut = True
        file.seek(size - self._last - 1)
        file.readline()
        return file.tell()

    def _line(self, path: Path, line: bytes) -> Iterator[Span]:
        if line.isspace():
            return
        try:
            yield from spans_of(line)
        except ValueError as error:
            self.damaged += 1
            self.first_damage = self.first_damage or f"{path.name}: {error}"
