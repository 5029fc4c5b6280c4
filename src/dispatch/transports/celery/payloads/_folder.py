"""Payloads in a folder that callers and workers share: one file each, readable by its owner alone.

A file's modification time is the moment from which it may be removed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import time
from uuid import uuid4

_SWEEP_EVERY = 100
"""Writes between two looks for what has expired."""

_LOOKED_AT = 1_000
"""Files at one look, so that nobody's call waits for a large folder."""

_SETTLED_FOR = 86_400.0
"""Seconds that a settled payload is remembered as such, by an empty file."""


class FolderStore:
    """Raises `OSError` where the disk does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written = 0

    @property
    def name(self) -> str:
        return str(self._folder)

    def put(self, key: str, data: bytes, *, expires: float, durable: bool) -> None:
        """Kept when this returns; `durable`: also through the loss of power. `expires` is in seconds from now."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(key, data, expires=expires, durable=durable)
        self._written += 1
        if self._written % _SWEEP_EVERY == 1:
            self._sweep()

    def get(self, key: str) -> bytes | None:
        """`None`: there is none. Empty: it was settled."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def settle(self, key: str, *, remember: bool) -> None:
        if remember:
            self._write(key, b"", expires=_SETTLED_FOR, durable=False)
        else:
            self.remove(key)

    def remove(self, key: str) -> None:
        (self._folder / key).unlink(missing_ok=True)

    def _write(self, key: str, data: bytes, *, expires: float, durable: bool) -> None:
        # A name of its own until it is whole: nobody reads half a payload, and a link of this name leads nowhere.
        path = self._folder / f".{uuid4().hex}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            until = time() + expires
            os.utime(path, (until, until))
            path.replace(self._folder / key)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if durable:
            _sync(self._folder)

    def _sweep(self) -> None:
        now = time()
        with os.scandir(self._folder) as entries:
            for each, _ in zip(entries, range(_LOOKED_AT), strict=False):
                with suppress(OSError):  # somebody else sweeps as well
                    if each.stat(follow_symlinks=False).st_mtime < now - (_SETTLED_FOR if each.name[0] == "." else 0):
                        Path(each).unlink()


def _sync(folder: Path) -> None:
    """The name as well: a rename is in the folder, not in the file (fsync(2))."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
