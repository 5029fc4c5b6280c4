"""What belongs to one process alone begins anew in a forked child.

A fork by `os.fork` runs Python's hooks, and ours among them. One in C, as uWSGI makes it, runs none: there the child is
known by its process id, on ways that are slow anyway.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class _Process:
    """This process, and what its children renew."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.renewals: list[Callable[[], object]] = []
        # Held by a child alone, and only while it begins anew.
        self.beginning = threading.Lock()

    def begin(self) -> None:
        for renew in self.renewals:
            renew()
        self.pid = os.getpid()  # last: other threads take it for the sign that all is done


_process = _Process()
os.register_at_fork(after_in_child=_process.begin)


def renew_in_child(renew: Callable[[], object]) -> None:
    """Have `renew` called in each child that is forked from this process. Must neither fail nor wait.

    For modules, never for single objects: what is registered stays for ever.
    """
    _process.renewals.append(renew)


def notice_fork() -> bool:
    """The second guard: begin anew if this is a child whose fork ran no hooks. True when it was so.

    For slow ways only: it asks the system for the process's id.
    """
    if _process.pid == os.getpid():
        return False
    with _process.beginning:
        if _process.pid == os.getpid():
            return True  # another thread was faster, and has made it so
        _process.begin()
        return True
