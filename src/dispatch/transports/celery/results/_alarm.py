"""Wakes a waiting thread from any other, also while it waits for a socket."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from typing import Any


class Alarm:
    """Rings until it is heard. One thread waits; any may ring."""

    def __init__(self) -> None:
        self._heard, self._bell = socket.socketpair()
        self._heard.settimeout(0)
        self._bell.settimeout(0)

    def ring(self) -> None:
        """Wake the thread that waits, or the next one that does. Never waits and never fails."""
        with suppress(OSError):  # full: it rings already; closed: nobody waits any more
            self._bell.send(b"!")

    def wait(self, timeout: float | None, beside: Any = None) -> bool:
        """Wait for the alarm, or for the socket `beside` it to become readable. False after `timeout` seconds."""
        # Made for each wait, by the name it has now: under gevent it is another one.
        with selectors.DefaultSelector() as selector:
            selector.register(self._heard, selectors.EVENT_READ)
            if beside is not None:
                selector.register(beside, selectors.EVENT_READ)
            ready = selector.select(timeout)
        with suppress(BlockingIOError):
            while len(self._heard.recv(4096)) == 4096:
                pass
        return bool(ready)

    def close(self) -> None:
        self._heard.close()
        self._bell.close()
