"""One worker process, as the process that started it sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from dispatch.pool.processes._wire import Wire

_FAREWELL = 5.0
"""Seconds in which a process that was told to end must have ended; then it is killed."""


class Died(Exception):
    """The process ended before it answered; the message says how, as in `was killed by SIGKILL`."""


class Child:
    """A worker process. One thread at a time uses it; any thread may `stop` it.

    Made at once, or `OSError` when the machine gives no more processes or descriptors. Ask it once `wait_ready` has
    returned.
    """

    def __init__(self, program: Path, told: dict[str, Any]) -> None:
        """`program` gets the number of its end of the socket, and over that `told`, with what is added here."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own words only
                    [sys.executable, *_flags(), program, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    process_group=0,  # a Ctrl-C in the terminal is the parent's to answer
                )
            except BaseException:
                ours.close()
                raise
        self.pid = self._process.pid
        self._told = told
        self._death = _death_of(self.pid)
        self._wire = Wire(ours, death=self._death)

    def wait_ready(self) -> None:
        """Wait until it has started. Raises `Died`; what went wrong there stands on stderr."""
        told = {"path": [str(each) for each in sys.path], "argv": sys.argv, "parent": os.getpid()}
        try:
            self._wire.send(json.dumps(told | self._told).encode())
            self._wire.receive()
        except EOFError:
            raise Died(self._how_it_ended()) from None

    def ask(self, head: bytes, body: bytes) -> tuple[bytearray, bytearray]:
        """Send both, and wait for both halves of the answer. Raises `Died`."""
        try:
            self._wire.send(head)
            self._wire.send(body)
            return self._wire.receive(), self._wire.receive()
        except EOFError:
            raise Died(self._how_it_ended()) from None

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End it in the middle of a task (SIGKILL, which nothing there can refuse): whoever asked it gets `Died`."""
        self._process.kill()

    def terminate(self) -> None:
        """`stop` that it may answer in its own way (SIGTERM)."""
        self._process.terminate()

    def finish(self) -> None:
        """Let it end in order when it has nothing to do. Waits for nothing."""
        self._wire.finish()

    def wait_end(self, patience: float = _FAREWELL) -> None:
        """Wait for its end, at most `patience` seconds; then it is killed."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Give its descriptors back; by whoever used it last, once it has ended."""
        self._wire.close()
        if self._death is not None:
            os.close(self._death)

    def disown(self) -> None:
        """In a fork of its parent: it is somebody else's."""
        self._process.returncode = 0  # else Popen would wait for it, and complain that it runs
        self.close()

    def _how_it_ended(self) -> str:
        self.wait_end()
        status = self._process.returncode
        if status >= 0:
            return f"ended with status {status}"
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"


def _death_of(pid: int) -> int | None:
    """A descriptor that turns readable when the process has ended; `None` where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _flags() -> list[str]:
    """How this interpreter was told to behave (-O, -W, -X …), as multiprocessing hands it on."""
    found: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    return found
