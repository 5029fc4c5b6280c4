"""Threads that send numbered calls at a steady rate, whatever the broker does, and keep what each was told."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from dispatch.errors import NotAccepted, OutcomeUnknown

_AGAIN = 0.05
"""Seconds before a call that was refused is sent again."""


class Senders:
    """For the length of the `with` block. A refused call is sent again until it is accepted, or unknown."""

    def __init__(self, send: Callable[[int], Any], *, threads: int = 4, pause: float = 0.005) -> None:
        """`pause`: seconds between two calls of one thread."""
        self.accepted: list[int] = []
        self.unknown: list[int] = []
        """What may run: nobody sent it again."""
        self.errors: list[BaseException] = []
        """What `delay` must not raise."""
        self._send = send
        self._pause = pause
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="sender") for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(self._pause):
                self._until_told(next(self._numbers))
        except Exception as error:  # noqa: BLE001 - the test asserts that there is none
            self.errors.append(error)

    def _until_told(self, number: int) -> None:
        while True:
            try:
                self._send(number)
            except OutcomeUnknown:
                self.unknown.append(number)
                return
            except NotAccepted:
                if self._over.wait(_AGAIN):
                    return
            else:
                self.accepted.append(number)
                return
