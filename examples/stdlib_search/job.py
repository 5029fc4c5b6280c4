"""The job: each finished call says which call comes next. A file is read, tokenized, written into a segment with
others, and the segment is committed; beside that, its imports are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any, TypeAlias

import app
import dispatch
from sources import Source, module_name
from tokens import Document

AT_ONCE = 48
"""Calls under way. More would only wait, in memory here or in the broker."""
SEGMENT = 40
"""Files in a segment."""
_PATIENCE = 60.0
"""Seconds without any call ending before the job is given up."""

Step: TypeAlias = Callable[[Any], None]
"""What to do with a call's result."""
Tell: TypeAlias = Callable[[str], None]
"""Hears of every `file`, `imports` and `segment` that is done."""


class Job:
    """Builds the index of `paths`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files = [(module_name(path), str(path)) for path in paths]
        self.troubles: dict[str, str] = {}
        """What was wrong with a file; the rest of it is indexed all the same."""
        self.importers: Counter[str] = Counter()
        self.segments: dict[str, int] = {}
        """The committed ones, and how many files each one brought."""
        self.totals = {"file": len(paths), "imports": len(paths), "segment": ceil(len(paths) / SEGMENT)}
        """How often `run` will tell of what."""
        self._tell: Tell = _nobody
        self._batch: list[Document] = []
        self._tokenized = 0
        self._running = 0
        # Done-callbacks run in other threads and only send; all else happens in the thread that runs the job.
        self._done: dispatch.Channel[tuple[Step, dispatch.Handle[Any]]] = dispatch.Channel(2 * AT_ONCE)

    def run(self, tell: Tell) -> None:
        """Return when everything is committed. Raises what a task raised, or `DispatchError`."""
        self._tell = tell
        waiting = iter(self.files)
        more = True
        while more or self._running:
            while more and self._running < AT_ONCE:
                file = next(waiting, None)
                more = file is not None
                if file is not None:
                    self._then(app.read.delay(*file), self._tokenize)
                    self._then(app.imports.delay(*file), self._count)
            if self._running:
                step, handle = self._done.receive(timeout=_PATIENCE)
                self._running -= 1
                step(_result(handle))
        app.commit_importers.delay(dict(self.importers)).result(timeout=_PATIENCE)

    def _then(self, handle: dispatch.Handle[Any], step: Step) -> None:
        self._running += 1
        handle.add_done_callback(lambda done: self._done.send((step, done)))

    def _tokenize(self, source: Source) -> None:
        self._then(app.tokenize.delay(source), self._collect)

    def _count(self, imported: list[str]) -> None:
        self.importers.update(imported)
        self._tell("imports")

    def _collect(self, document: Document) -> None:
        if document["trouble"]:
            self.troubles[document["path"]] = document["trouble"]
        self._batch.append(document)
        self._tokenized += 1
        if len(self._batch) == SEGMENT or self._tokenized == len(self.files):
            documents, self._batch = self._batch, []
            name = f"segment-{ceil(self._tokenized / SEGMENT):03}.db"
            self._then(app.write_segment.delay(name, documents), self._commit)
        self._tell("file")

    def _commit(self, segment: str) -> None:
        handle = app.commit.delay(segment)
        self._then(handle, lambda documents: self._committed(segment, documents))

    def _committed(self, segment: str, documents: int) -> None:
        self.segments[segment] = documents
        self._tell("segment")


def _result(handle: dispatch.Handle[Any]) -> Any:
    try:
        return handle.result()
    except Exception as error:
        error.add_note(f"raised by {handle!r}")
        raise


def _nobody(what: str) -> None:
    pass
