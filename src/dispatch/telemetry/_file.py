"""The trace file of one process."""

from __future__ import annotations

import os
import re
import secrets
import time
from pathlib import Path


class TraceFile:
    """Made and named at the first write of each process, so that a forked child writes to a file of its own.

    For one thread at a time: the batch processor's.
    """

    def __init__(self, directory: Path, service: str) -> None:
        self._directory = directory
        self._service = re.sub(r"[^A-Za-z0-9._-]+", "_", service)[:64]
        self._pid = 0
        self._descriptor: int | None = None
        self._torn = False
        self.path: Path | None = None

    def write(self, line: bytes) -> None:
        """Append one line, which has no newline of its own. Raises `OSError`."""
        if self._pid != os.getpid():
            self._open()
        # After a write that broke off (a full disk), the next line must not grow onto its stump.
        data = (b"\n" if self._torn else b"") + line + b"\n"
        self._torn = True
        while data:
            data = data[os.write(self._opened(), data) :]
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

    def _open(self) -> None:
        # In a child this closes its copy of the parent's descriptor and nothing else; nothing is buffered.
        self.close()
        self._directory.mkdir(parents=True, exist_ok=True)
        start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"traces-{self._service}-{os.getpid()}-{start}-{secrets.token_hex(4)}.jsonl"
        self.path = self._directory / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._torn = False
        self._pid = os.getpid()
