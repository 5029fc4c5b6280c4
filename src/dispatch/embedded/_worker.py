"""A Celery worker as a child process: `celery -A app worker`, started, awaited and ended."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Literal

from dispatch.embedded._child import Child

Pool = Literal["prefork", "threads", "solo", "gevent"]

_START_DEADLINE = 30.0
_GRACE = 10.0
_READY = re.compile(rb"@\S+ ready\.")
_numbers = count(1)


class Worker:
    """A worker that has said it is ready."""

    def __init__(self, child: Child, hostname: str) -> None:
        self._child = child
        self.hostname = hostname
        """Its node name, for `inspect` and `control`."""

    @property
    def pid(self) -> int:
        """Of its main process."""
        return self._child.pid

    @property
    def log(self) -> Path:
        return self._child.log

    @property
    def running(self) -> bool:
        return self._child.running

    def stop(self, grace: float = _GRACE) -> None:
        """A warm stop: started tasks may finish, for `grace` seconds; then it is killed."""
        self._child.stop(grace)

    def kill(self) -> None:
        """Kill the worker and its pool processes at once (SIGKILL), as a crash of the machine would."""
        self._child.kill()

    def __repr__(self) -> str:
        return f"<Worker {self.hostname} [pid {self.pid} | {'running' if self.running else 'ended'}]>"


@contextmanager
def worker(
    app: str,
    *,
    directory: str | Path,
    pool: Pool = "prefork",
    concurrency: int = 2,
    env: Mapping[str, str] | None = None,
    queues: Sequence[str] | None = None,
    hostname: str | None = None,
    log: str | Path | None = None,
    deadline: float = _START_DEADLINE,
    grace: float = _GRACE,
) -> Iterator[Worker]:
    """A Celery worker for the length of the `with` block, ready to take tasks.

    Runs `celery -A {app} worker` in `directory`, where `app` must be importable, with the environment of this
    process and `env` on top. Its output goes to `log`, or to a temporary file. At the end it is stopped warm,
    within `grace` seconds, and with this process at the latest. Raises `DispatchError`, with the end of its
    log, when it ends before it is ready or is not ready within `deadline` seconds.
    """
    name = hostname or f"worker-{os.getpid()}-{next(_numbers)}@localhost"
    command = [sys.executable, "-m", "celery", "-A", app, "worker", f"--hostname={name}", f"--pool={pool}"]
    command += [f"--concurrency={concurrency}", "--loglevel=INFO"]  # INFO: the line that says ready
    # Alone, it has nobody to mingle or gossip with; asking around costs a second at each start. The heartbeat stays:
    # on RabbitMQ an idle worker looks up for nothing else, and would see only seconds later that it is to stop.
    command += ["--without-mingle", "--without-gossip", "--heartbeat-interval=1"]
    if queues:
        command.append(f"--queues={','.join(queues)}")
    with tempfile.TemporaryDirectory(prefix="dispatch-worker-") as temporary:
        child = Child(
            command,
            log=Path(log).resolve() if log else Path(temporary, "worker.log"),
            directory=Path(directory).resolve(),
            env={**os.environ, **(env or {})},
            remove=[Path(temporary)],
        )
        try:
            child.wait_until(lambda: bool(_READY.search(child.output())), name=f"worker {app}", deadline=deadline)
            yield Worker(child, name)
        finally:
            child.stop(grace)
