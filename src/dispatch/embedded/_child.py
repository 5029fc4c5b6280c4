"""A program on a leash: it ends when we stop it, and when this process ends in whatever way."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic

from dispatch.errors import DispatchError

_LEASH = Path(__file__).with_name("_leash.py")
_PAUSE = 0.005
"""Seconds between two looks. A start takes tens of milliseconds, and each look costs microseconds."""
_DEATH = 2000
"""Milliseconds until killed descendants must be gone. It takes milliseconds, more for one with much memory."""


class Child:
    """A running program, alone with its descendants in a process group of its own.

    The group is killed when this process ends, even by SIGKILL, and `remove` is deleted then. A Ctrl-C in the
    terminal does not reach it; we stop it ourselves. In a fork of this process it does nothing: the child of
    a fork must not stop what its parent runs.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        directory: Path,
        env: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
        remove: Sequence[Path] = (),
    ) -> None:
        self.log = log
        self._owner = os.getpid()
        self._over = Lock()
        self._offset = log.stat().st_size if log.exists() else 0
        # A process rather than PR_SET_PDEATHSIG, which fires when the starting *thread* ends.
        self._leash = subprocess.Popen(  # noqa: S603 -- our own words only
            [sys.executable, "-I", "-S", _LEASH, str(self._owner), *remove],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            process_group=0,
        )
        # Every descendant holds the other end of this pipe; it closes when the last of them has ended.
        self._ended, held = os.pipe()
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 -- no shell; this room starts programs
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=directory,
                    env=env,
                    pass_fds=(held, *inherit),
                    process_group=self._leash.pid,
                )
        except BaseException:
            self._drop_leash()
            os.close(self._ended)
            raise
        finally:
            os.close(held)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ours(self) -> bool:
        """False in a fork of the process that started it."""
        return self._owner == os.getpid()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """As in `subprocess`: None while it runs, negative for a signal."""
        return self._process.poll()

    def output(self) -> bytes:
        """What it has printed since this start."""
        with self.log.open("rb") as log:
            log.seek(self._offset)
            return log.read()

    def wait_until(self, ready: Callable[[], bool], *, name: str, deadline: float) -> None:
        """Return once `ready()` is true.

        When the program ends before that, or `deadline` seconds pass, it is killed and `DispatchError` tells
        the end of its log.
        """
        try:
            self._watch(ready, name, deadline)
        except BaseException:
            self.kill()
            raise

    def stop(self, grace: float) -> None:
        """Ask it to end, and kill what is left of it after `grace` seconds. Calling it again does nothing."""
        if self.ours and self.running:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)  # a stopped process would not hear the first
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """End it and all its descendants at once (SIGKILL). Calling it again does nothing."""
        if not self.ours:
            return
        with self._over:
            # The leash leads the group: not yet reaped, it keeps the number from being given to strangers.
            if self._leash.returncode is None:
                self._drop_leash()
                self._process.wait()
                last = select.poll()
                last.register(self._ended, select.POLLIN)
                last.poll(_DEATH)
                os.close(self._ended)

    def _drop_leash(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self._leash.pid, signal.SIGKILL)
        assert self._leash.stdin is not None  # noqa: S101 -- opened above, for the type checker
        self._leash.stdin.close()
        self._leash.wait()

    def _watch(self, ready: Callable[[], bool], name: str, deadline: float) -> None:
        end = monotonic() + deadline
        while not ready():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PAUSE)  # its end wakes us at once
            if not self.running:
                raise self._did_not_start(f"{name} ended before it was ready, with status {self.exit_status}")
            if monotonic() > end:
                raise self._did_not_start(f"{name} was not ready within {deadline:g} s")

    def _did_not_start(self, what: str) -> DispatchError:
        tail = "\n".join(self.output().decode(errors="replace").splitlines()[-20:]) or "(nothing)"
        return DispatchError(f"{what}. The end of its log:\n{tail}")
