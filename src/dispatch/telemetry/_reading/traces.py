"""All traces of a directory."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispatch.telemetry._reading.call_record import CallRecord, calls_of
from dispatch.telemetry._reading.otlp_json import spans as spans_of
from dispatch.telemetry._reading.span import Span
from dispatch.telemetry._reading.trace import Trace

_TRACE_FILE = re.compile(r"\.jsonl?(\.\d+)?(\.gz)?$")
"""Ours, rotated ones, and whole documents as other tools save them."""


class Traces:
    """Traces in the order in which they began."""

    def __init__(self, spans: Iterable[Span], *, files: int = 0, damaged: int = 0, first_damage: str = "") -> None:
        by_trace: dict[str, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id, []).append(span)
        self._traces = sorted(map(Trace, by_trace.values()), key=lambda trace: trace.start_ns)
        self.files = files
        self.damaged = damaged
        """Lines that could not be read, and were left out: torn, foreign, or no text at all."""
        self.first_damage = first_damage
        """The first of them: file, line and what is wrong."""

    def __iter__(self) -> Iterator[Trace]:
        return iter(self._traces)

    def __len__(self) -> int:
        return len(self._traces)

    def find(self, prefix: str) -> list[Trace]:
        """Every trace whose id begins with `prefix`."""
        prefix = prefix.lower()
        return [trace for trace in self._traces if trace.id.startswith(prefix)]

    def calls(self) -> Iterator[CallRecord]:
        """One record for each `dispatch {task}` span, trace by trace."""
        for trace in self._traces:
            yield from calls_of(trace)


def read(place: str | Path) -> Traces:
    """Read every trace file in the directory `place`, or the file `place`. What is damaged is counted, not raised.

    A directory that does not exist holds no traces.
    """
    reading = _Reading()
    files = _files(Path(place))
    spans = [span for path in files for span in reading.file(path)]
    return Traces(spans, files=len(files), damaged=reading.damaged, first_damage=reading.first_damage)


class _Reading:
    def __init__(self) -> None:
        self.damaged = 0
        self.first_damage = ""

    def file(self, path: Path) -> Iterator[Span]:
        number = 0
        try:
            for number, line in enumerate(_lines(path), 1):
                if not line.isspace():
                    yield from self._line(path, number, line)
        except (OSError, EOFError, zlib.error) as error:
            # A compressed file that was cut off still gives what stands before the cut.
            self._note(path, number + 1, error)

    def _line(self, path: Path, number: int, line: bytes) -> Iterator[Span]:
        try:
            yield from spans_of(line)
        except ValueError as error:
            self._note(path, number, error)

    def _note(self, path: Path, number: int, error: Exception) -> None:
        self.damaged += 1
        self.first_damage = self.first_damage or f"{path.name}:{number}: {error}"


def _files(place: Path) -> list[Path]:
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
