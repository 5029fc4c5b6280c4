"""Threads and locks of the operating system, also where gevent has put greenlets in their place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol


class Lock(Protocol):
    """What `threading.Lock()` makes."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...  # noqa: FBT001 - as it is there
    def release(self) -> None: ...
    def locked(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *error: object) -> None: ...


def lock() -> Lock:
    made: Lock = _original("allocate_lock", threading.Lock)()
    return made


def start(run: Callable[[], None], name: str) -> None:
    """Run it in a daemonic thread. Raises `RuntimeError` when none can be started any more."""
    native = _original("start_new_thread", None)
    if native is None:
        threading.Thread(target=run, name=name, daemon=True).start()
    else:
        native(run, ())


def _original(name: str, otherwise: Any) -> Any:
    """What gevent replaced, where it did."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return gevent.get_original("_thread", name)
    return otherwise
