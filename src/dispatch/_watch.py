"""Watching a policy's files, for those who asked for that."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from dispatch._log import logger
from dispatch.errors import NotConfigured

_STEP_MS = 100
"""What changes within so long of another change is one change: an editor writes, renames and removes."""

_LOOK_MS = 1000
"""So often the files are looked at even where nothing was heard: not every file system tells."""

_FAREWELL = 5.0
"""Seconds that the end waits for the thread, which looks at its flag every step."""

_Look: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Watch:
    """A daemon thread that calls `changed` after each change of `files`. Safe from any thread.

    What is watched are the folders that they are in, since whoever replaces a file by another, as editors do, and
    whoever turns a link, as Kubernetes does, leaves the old one as it was.
    """

    def __init__(self, files: Iterable[Path], changed: Callable[[], object]) -> None:
        """Raises `NotConfigured` without the package that watches."""
        if importlib.util.find_spec("watchfiles") is None:
            raise NotConfigured("DISPATCH_WATCH needs a package more: pip install 'dispatch-router[watch]'")
        self._files = tuple(file.absolute() for file in files)
        self._changed = changed
        self.was_begun = False
        self.renew()

    def renew(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._enough = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Twice is once; after `end` it does nothing."""
        self.was_begun = True
        with self._turn:
            if self._thread is None and not self._enough.is_set() and self._files:
                self._thread = threading.Thread(
                    target=self._run, args=(self._enough, self._look()), name="dispatch-watch", daemon=True
                )
                self._thread.start()

    def end(self) -> None:
        """Watch no more. Twice is once; never started is fine."""
        self._enough.set()
        thread = self._thread
        # It is waited for: the interpreter's end finds nobody in foreign code who wants to come back from there.
        if thread is not None and thread is not threading.current_thread() and self._pid == os.getpid():
            thread.join(_FAREWELL)

    def _run(self, enough: threading.Event, seen: _Look) -> None:
        from watchfiles import watch  # noqa: PLC0415 - an extra, for those who asked

        try:
            for _ in watch(
                *_folders(self._files),
                watch_filter=None,
                step=_STEP_MS,
                rust_timeout=_LOOK_MS,
                yield_on_timeout=True,
                stop_event=enough,
                recursive=False,
                raise_interrupt=False,
            ):
                look = self._look()
                if look != seen:
                    seen = look
                    self._tell()
        except Exception:  # noqa: BLE001 - who cannot watch does not end the program
            logger("policy").exception(
                "the policy's files are watched no more", files=[str(each) for each in self._files]
            )

    def _tell(self) -> None:
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - the log has it from whoever raised, and the next change may mend it
            logger("policy").debug("a change of the policy's files was not followed", exc_info=True)

    def _look(self) -> _Look:
        return tuple(_state(file) for file in self._files)


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _folders(files: Iterable[Path]) -> set[Path]:
    """Where they are, and where the links lead that they are."""
    return {folder for file in files for folder in (file.parent, file.resolve().parent) if folder.is_dir()}
