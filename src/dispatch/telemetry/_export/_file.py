"""The trace file of one process, and those that it was before."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from dispatch.telemetry._export._folder import hold, sweep
from dispatch.telemetry._failures import harmless


class TraceFile:
    """Made and named at the first write of each process, so that a forked child writes to a file of its own.

    Before it grows over `max_bytes` it is renamed to `….jsonl.1`, that one to `….jsonl.2` and so on, and a new one
    begins; of all of them there are at most `keep`. A line is never divided: one that is longer has a file to itself.

    For one thread at a time: the batch processor's.
    """

    def __init__(self, folder: Path, service: str, *, max_bytes: int, keep: int, max_folder_bytes: int) -> None:
        self._folder = folder
        self._service = re.sub(r"[^A-Za-z0-9._-]+", "_", service)[:64]
        self._max_bytes = max_bytes
        self._keep = keep
        self._max_folder_bytes = max_folder_bytes
        self._pid = 0
        self._descriptor: int | None = None
        self._size = 0
        self._torn = False
        self.path: Path | None = None

    def write(self, line: bytes) -> None:
        """Append one line, which has no newline of its own. Raises `OSError`."""
        if self._pid != os.getpid() or self._is_gone():
            self._begin()
        elif self._size and self._size + len(line) + 1 > self._max_bytes:
            self._rotate()
        # After a write that broke off (a full disk), the next line must not grow onto its stump.
        data = (b"\n" if self._torn else b"") + line + b"\n"
        self._torn = True
        while data:
            written = os.write(self._opened(), data)
            self._size += written
            data = data[written:]
        self._torn = False

    def close(self) -> None:
        """Twice is once; unopened is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        self._pid = 0

    def _opened(self) -> int:
        if self._descriptor is None:
            raise OSError("the trace file is closed")
        return self._descriptor

    def _is_gone(self) -> bool:
        """Whether it was removed: what were written to it, nobody would ever read."""
        return os.fstat(self._opened()).st_nlink == 0

    def _begin(self) -> None:
        # In a child this closes its copy of the parent's descriptor and nothing else; nothing is buffered.
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = self._folder / f"traces-{self._service}-{os.getpid()}-{start}-{secrets.token_hex(4)}.jsonl"
        self._open(path)
        self._pid = os.getpid()

    def _rotate(self) -> None:
        path = self.path
        if path is None:
            return
        # While a rename fails, nothing has changed: it is tried again with the next line.
        for number in range(self._keep - 1, 1, -1):
            with suppress(FileNotFoundError):
                path.with_name(f"{path.name}.{number - 1}").replace(path.with_name(f"{path.name}.{number}"))
        if self._keep > 1:
            path.replace(path.with_name(f"{path.name}.1"))
        else:
            path.unlink()
        self.close()
        self._open(path)
        self._pid = os.getpid()

    def _open(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        hold(self._descriptor)
        self.path = path
        self._size = 0
        self._torn = False
        with harmless:
            sweep(self._folder, self._max_folder_bytes)
