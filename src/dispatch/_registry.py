"""Which tasks exist. Declaring one tells everybody who asked, now and later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from dispatch._fork import renew_in_child
from dispatch._requirements import Kind, Requirements
from dispatch._retry import Retry


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A declared task: what is known about every call of it before any call is made.

    Compared and hashed by identity: a variant with other requirements is another spec under the same name.
    """

    name: str
    """The registered, dotted name."""
    function: Callable[..., Any]
    signature: Callable[..., None]
    """Has the function's signature and does nothing: calling it raises the `TypeError` that the call would."""
    requirements: Requirements
    kind: Kind = "io"
    tags: frozenset[str] = frozenset()
    result: bool = True
    idempotent: bool = False
    expires_ns: int | None = None
    timeout_ns: int | None = None
    """The longest that one attempt may run."""
    retry: Retry | None = None
    coroutine: bool = False
    """Whether calling the function gives a coroutine: it needs an event loop, wherever it runs."""
    importable: bool = True
    """Whether another process finds the function by importing its module."""
    limited: bool = False
    """Made from the others: whether an attempt has to be asked for its `expires`, its `timeout` or its `retry`."""

    def __post_init__(self) -> None:
        limited = any(limit is not None for limit in (self.expires_ns, self.timeout_ns, self.retry))
        msgspec.structs.force_setattr(self, "limited", limited)


class Registry:
    """The tasks of this process, by name."""

    def __init__(self) -> None:
        self.renew_lock()
        self._specs: dict[str, TaskSpec] = {}
        self._listeners: list[Callable[[TaskSpec], None]] = []

    def renew_lock(self) -> None:
        # A fork may happen while another thread holds it.
        self._lock = threading.RLock()

    def declare(self, spec: TaskSpec) -> None:
        """Make `spec` known under its name. Raises `ValueError` when another function has that name already."""
        with self._lock:
            known = self._specs.get(spec.name)
            if known is not None and _place(known) != _place(spec):
                raise ValueError(
                    f"two tasks are named {spec.name!r}: {_place(known)} and {_place(spec)}. "
                    "Give one of them another name: @dispatch.task(name=…)"
                )
            self._specs[spec.name] = spec
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(spec)

    def subscribe(self, listener: Callable[[TaskSpec], None]) -> None:
        """Call `listener` with every task declared so far, and with each later one as it is declared."""
        with self._lock:
            self._listeners.append(listener)
            so_far = tuple(self._specs.values())
        for spec in so_far:
            listener(spec)

    def unsubscribe(self, listener: Callable[[TaskSpec], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def get(self, name: str) -> TaskSpec | None:
        return self._specs.get(name)

    def __iter__(self) -> Iterator[TaskSpec]:
        with self._lock:
            return iter(tuple(self._specs.values()))


def _place(spec: TaskSpec) -> str:
    return f"{spec.function.__module__}.{spec.function.__qualname__}"


registry = Registry()
"""The one registry of this process: a task is declared by importing its module."""

renew_in_child(registry.renew_lock)
