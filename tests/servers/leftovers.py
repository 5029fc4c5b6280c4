"""What a test left running: processes below this one, orphans of this run, threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import psutil

from servers.patience import eventually

_MARK = "_DISPATCH_TEST_RUN"
"""In the environment of every process that the tests start, so that an orphan can be told from a stranger."""

_lasting: set[int] = set()


def mark_this_run() -> None:
    os.environ[_MARK] = uuid4().hex


@contextmanager
def lasting() -> Iterator[None]:
    """What is started in the block belongs to the session, and is no leftover before its end."""
    before = {child.pid for child in psutil.Process().children()}
    yield
    _lasting.update({child.pid for child in psutil.Process().children()} - before)


def processes() -> set[str]:
    """Descendants of this process that run, apart from those of the session."""
    found = set()
    for child in psutil.Process().children():
        if child.pid not in _lasting:
            with suppress(psutil.Error):
                for process in (child, *child.children(recursive=True)):
                    if process.status() != psutil.STATUS_ZOMBIE and not _of_python(process):
                        found.add(_describe(process))
    return found


def orphans() -> set[str]:
    """Processes anywhere that were started in this run."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(_MARK) == os.environ[_MARK]:
                found.add(_describe(process))
    return found


def threads() -> set[threading.Thread]:
    """Threads that would keep the interpreter from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def none_but(before: set[Any], now: Callable[[], set[Any]], *, within: float = 3.0) -> None:
    """Fails, and names them, when there is more now than before, and it does not go away."""
    try:
        eventually(lambda: now() <= before, within=within)
    except AssertionError:
        raise AssertionError(f"left behind: {now() - before}") from None


def _describe(process: psutil.Process) -> str:
    return f"{process.pid} {' '.join(process.cmdline()) or process.name()}"


def _of_python(process: psutil.Process) -> bool:
    """multiprocessing keeps a tracker of its own until the interpreter ends."""
    words = " ".join(process.cmdline())
    return "multiprocessing.resource_tracker" in words or "multiprocessing.forkserver" in words
