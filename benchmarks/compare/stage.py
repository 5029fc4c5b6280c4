"""What a contestant needs around it: a broker of its own, a store, a worker; and the process that calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compare import go
from benchmarks.compare.contestants import Contestant
from dispatch.embedded import Server, Worker, worker
from dispatch.embedded._rabbitmq import RabbitMQ

HOME = Path(__file__).parents[2]
_QUIET = {"DISPATCH_TELEMETRY": "off", "PYTHONUNBUFFERED": "1"}


class Stage:
    """One contestant, ready. Its servers end with it."""

    def __init__(self, contestant: Contestant, server: Server, node: RabbitMQ | None) -> None:
        """`server` is the Redis: a broker, or, beside RabbitMQ, the store of results."""
        self.contestant = contestant
        self.server = server
        self.node = node

    @property
    def environment(self) -> Mapping[str, str]:
        here = {**os.environ, **_QUIET, "PYTHONPATH": str(HOME)}
        for name in [
            name for name in here if name.startswith(("DISPATCH_BROKER", "DISPATCH_RESULT", "DISPATCH_POLICY"))
        ]:
            del here[name]
        contestant = self.contestant
        if contestant.policy is not None:
            here["COMPARE_POLICY"] = contestant.policy
        if contestant.durable:
            here["COMPARE_DURABLE"] = "1"
        if contestant.far:
            url = self.server.url if contestant.broker == "redis" else self._rabbitmq.url
            here |= {"COMPARE_BROKER": url, "COMPARE_RESULTS": self.server.url}
            here |= {"DISPATCH_BROKER_URL": url, "DISPATCH_RESULT_BACKEND": self.server.url}
        return here

    @property
    def _rabbitmq(self) -> RabbitMQ:
        assert self.node is not None, "contestants on RabbitMQ take part where there is one"
        return self.node

    @property
    def broker_pid(self) -> int | None:
        contestant = self.contestant
        if not contestant.far:
            return None
        return self.server.pid if contestant.broker == "redis" else self._rabbitmq.pid

    def worker(self) -> AbstractContextManager[Worker]:
        """One process of prefork's, as Celery starts it."""
        module = f"benchmarks.compare.{self.contestant.module}"
        return worker(module, directory=HOME, concurrency=1, env=self.environment)

    def ask(self, measure: str, *arguments: Any, stand: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Run one measure in a caller of its own. `stand(phase)` is called whenever it stands still."""
        program = go.program() if self.contestant.way == "go" else None
        python = [sys.executable, "-m", "benchmarks.compare.caller", self.contestant.way]
        words = [*(python if program is None else [str(program)]), measure, *map(json.dumps, arguments)]
        with subprocess.Popen(
            words, cwd=HOME, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            self.caller_pid = process.pid
            try:
                return _conversation(process, stand)
            finally:
                if process.poll() is None:
                    process.kill()

    def processor(self, pid: int) -> float:
        """Seconds that a process and its children have worked."""
        return sum(_worked(each) for each in tree(pid))

    def clear(self) -> None:
        """Nothing of the last measure is left for the next."""
        import redis

        redis.Redis.from_url(self.server.url).flushall()


def _conversation(process: subprocess.Popen[str], stand: Callable[[str], None] | None) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stdin is not None
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if "phase" not in said:
            return said
        if stand is not None:
            stand(said["phase"])
        process.stdin.write("\n")
        process.stdin.flush()
    raise SystemExit(f"a caller ended without a word, with status {process.wait()}")


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _worked(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def held(pid: int) -> int:
    """Bytes of a process and its children, pages that they share counted once (PSS)."""
    total = 0
    for each in tree(pid):
        try:
            total += each.memory_full_info().pss
        except (psutil.NoSuchProcess, AttributeError):
            continue
    return total


@contextmanager
def servers(*, rabbitmq: bool) -> Iterator[tuple[Server, RabbitMQ | None]]:
    """A Redis, and a RabbitMQ where it is wanted, in which nobody was before; both end at the end of the block."""
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        node = stack.enter_context(RabbitMQ()) if rabbitmq else None
        yield server, node
