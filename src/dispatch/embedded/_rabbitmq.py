"""A RabbitMQ node of our own: free ports, a temporary folder, an epmd that ends with it."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatch.embedded._child import Child
from dispatch.errors import DispatchError, NotConfigured

_START_DEADLINE = 50.0
_GRACE = 15.0
_PORT_TRIES = 4
_TAKEN = ("dist_port_already_used", "eaddrinuse", "already in use")
_GREETING = b"AMQP\x00\x00\x09\x01"


def program() -> Path | None:
    """The server's own script, or None where RabbitMQ is not installed.

    Debian puts a wrapper on PATH that changes to the user `rabbitmq` and refuses everybody but root; the script
    beside it runs as whoever we are.
    """
    found = shutil.which("rabbitmq-server")
    if found is None:
        return None
    path = Path(found).resolve()
    return path.with_name("rabbitmq-server") if path.name == "rabbitmq-script-wrapper" else path


class RabbitMQ:
    """A node that listens on 127.0.0.1 only, with guest/guest and no plugins.

    `start` after `stop` or `kill` brings the same node back: same port, same folder, same queues.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="dispatch-rabbitmq-"))
        self.port, self._dist_port, self._epmd_port = _free_ports(3)
        self._epmd: Child | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def pid(self) -> int:
        """Of the Erlang machine that is the node; the script around it is no matter."""
        return int(self._pid_file.read_text())

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self, deadline: float = _START_DEADLINE) -> Self:
        """Return once it greets on its port. Takes some seconds."""
        script = program()
        if script is None:
            raise NotConfigured("there is no rabbitmq-server on PATH")
        for left in reversed(range(1 if self._child is not None else _PORT_TRIES)):
            if self.running:
                break
            try:
                self._start(script, deadline)
            except DispatchError as error:
                # Between our look and its bind somebody else may take a port; one that was started keeps its own.
                if left == 0 or not any(words in str(error) for words in _TAKEN):
                    raise
                self._stop_epmd()
                self.port, self._dist_port, self._epmd_port = _free_ports(3)
        return self

    def _start(self, script: Path, deadline: float) -> None:
        self._start_epmd(deadline)
        self._pid_file.unlink(missing_ok=True)
        child = self._spawn([script], "server.log")
        child.wait_until(self._greets, name="rabbitmq-server", deadline=deadline)
        self._child = child

    def stop(self) -> None:
        """End it in good order: the script turns SIGTERM into an orderly stop of the node."""
        if self._child is not None:
            self._child.stop(_GRACE)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self._child is not None:
            self._child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            stack.callback(self._stop_epmd)
            self.kill()  # nothing in the temporary folder is worth an orderly end

    @property
    def _pid_file(self) -> Path:
        return self.directory / "node.pid"

    def _start_epmd(self, deadline: float) -> None:
        """Erlang's port mapper, in the foreground: the one a node starts by itself would outlive it."""
        if self._epmd is not None and self._epmd.running:
            return
        command = ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
        child = self._spawn(command, "epmd.log")
        child.wait_until(lambda: _talks(self._epmd_port, b"\x00\x01n"), name="epmd", deadline=deadline)
        self._epmd = child

    def _stop_epmd(self) -> None:
        epmd, self._epmd = self._epmd, None
        if epmd is not None:
            epmd.kill()

    def _spawn(self, command: Sequence[str | Path], log: str) -> Child:
        return Child(
            command,
            log=self.directory / log,
            directory=self.directory,
            env=self._environment(),
            remove=[self.directory],
        )

    def _greets(self) -> bool:
        return self._pid_file.exists() and _talks(self.port, _GREETING)

    def _environment(self) -> dict[str, str]:
        at = self.directory
        for name, text in (("rabbitmq.conf", ""), ("env.conf", ""), ("plugins", "[].\n")):
            (at / name).write_text(text)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RABBITMQ_")}
        return {
            **inherited,
            "HOME": str(at),  # the cookie is made here
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"{self._name}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(at / "mnesia"),
            "RABBITMQ_LOG_BASE": str(at / "log"),
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(at / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(at / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(at / "env.conf"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(at / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(at / "schema"),
            # Idle schedulers spin by default, and would take the cores from what is tested.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def _name(self) -> str:
        return f"t{self.port}"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def _talks(port: int, words: bytes) -> bool:
    """Whether somebody on the port answers to `words` at all."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(words)
            return bool(connection.recv(1))
    except OSError:
        return False
