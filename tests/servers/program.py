"""A small Python program in a process of its own, spoken to by lines and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from servers.patience import eventually


class Program:
    """It runs. What it prints comes line by line; `err` is all that it wrote beside."""

    def __init__(self, process: subprocess.Popen[str], err: Path) -> None:
        self.process = process
        self._err = err

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        """The next line that it prints; empty at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str) -> None:
        """Give it a line to read."""
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ending(self, *, within: float = 20.0) -> int:
        """Its exit status, once it has ended; below zero: the signal that ended it."""
        return self.process.wait(within)

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wrote(self, text: str) -> None:
        """Wait until it has written `text` to its stderr."""
        eventually(lambda: text in self.err, what=f"{text!r} in the program's stderr")


@contextmanager
def program(source: str, folder: Path, *, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """Start `source` in `folder`; at the end of the block it is gone, with its children."""
    err = folder / "program.err"
    path = folder / "program.py"
    path.write_text(dedent(source))
    with (
        err.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-u", str(path)],
            cwd=folder,
            env=os.environ | (env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            process_group=0,
        ) as process,
    ):
        try:
            yield Program(process, err)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its children too
