"""Ports that answer badly: one where nobody listens, one where somebody takes the call and says nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def closed() -> Iterator[int]:
    """A port that refuses every connection. It is bound, so that nobody else can begin to listen there."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes connections and never answers, nor reads: the kernel does all that is needed."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield listener.getsockname()[1]
