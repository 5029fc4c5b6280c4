"""What is called when this process ends: at the interpreter's exit, and at the end of a child of `multiprocessing`.

Such a child, unless it was spawned, leaves by `os._exit`, and of what was registered with `atexit` nothing is called
(CPython gh-83856). It does call its own finalizers, which it forgets as it begins, right after the fork.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from functools import partial

from dispatch._fork import renew_in_child


def at_exit(end: Callable[[], object]) -> None:
    """Call `end` when this process ends, and any child of it. Twice must be once. For modules, as `renew_in_child`."""
    atexit.register(end)
    announce = partial(_announce, end)
    announce()
    renew_in_child(announce)  # `multiprocessing` may have been imported meanwhile


def _announce(end: Callable[[], object]) -> None:
    if "multiprocessing.util" in sys.modules:
        from multiprocessing import util  # noqa: PLC0415 - who does not use it does not pay for it

        util.register_after_fork(end, _finalize)


def _finalize(end: Callable[[], object]) -> None:
    from multiprocessing import util  # noqa: PLC0415 - as above

    util.Finalize(None, end, exitpriority=0)
