"""In a worker process: its end, when its parent has ended without a word."""

from __future__ import annotations

import os
import select
import socket
import threading

_LOOK = 1000
"""Milliseconds between two looks at who the parent is: a fork of the parent may hold the socket open."""


def end_with_parent(sock: socket.socket, parent: int) -> None:
    """From now on, end this process when `parent`, at the other end of `sock`, has ended: in the middle of a task too.

    A parent that ends in order closes its half of the connection first, and the process ends in order as well.
    """
    threading.Thread(target=_watch, args=(sock.fileno(), parent), name="dispatch-leash", daemon=True).start()


def _watch(descriptor: int, parent: int) -> None:
    hang_up = select.poll()
    hang_up.register(descriptor, 0)  # of no events but the one that cannot be left out: the other end is closed
    while os.getppid() == parent and not hang_up.poll(_LOOK):
        pass
    os._exit(1)  # nobody is left to hear of anything
