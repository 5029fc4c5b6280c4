"""The table of what happens when memory runs out: each case set up, run, and counted from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shutil import which
from time import sleep
from typing import Any

import msgspec
import psutil
import redis
from amqp.exceptions import ChannelError
from kombu import Connection

from benchmarks.compare import go
from benchmarks.compare.contestants import CONTESTANTS, POLICIES, Contestant
from benchmarks.compare.runout import SIZE
from benchmarks.compare.stage import HOME, Stage
from dispatch.embedded import Server
from dispatch.embedded._rabbitmq import RabbitMQ

_BY_KEY = {each.key: each for each in CONTESTANTS}
_LIMIT = 400 << 20
"""Bytes that a process may hold. A container's limit is enforced in the same way: by SIGKILL."""

_LOOK = 0.005
"""Seconds between two looks at a process."""

_REDIS_LIMIT = 100 << 20
_TO_REDIS = 3_000
"""Payloads sent to a Redis that has room for a third of them."""

_KILLED = "is killed"

_STILL = 10
"""Looks, five in a second."""


class Outcome(msgspec.Struct, frozen=True):
    """What was seen of one case."""

    name: str
    limit: str
    accepted: int
    left: int | None
    """Of those accepted, how many are there afterwards; `None`: the process that held them is gone."""
    caller: str
    """What the caller saw at the end."""

    @property
    def lost(self) -> int:
        return self.accepted - (self.left or 0)


def outcomes(*, rabbitmq: bool) -> Iterator[Outcome]:
    limited = f"the process is killed at {_LIMIT >> 20} MiB"
    yield _go(limited)
    yield _in_process("channel", "dispatch.Channel, 128 slots", limited)
    yield _in_process("asyncio", "asyncio.Queue", limited)
    yield _in_process("executor", "ThreadPoolExecutor", limited)
    policy = str(POLICIES / "bounded.yaml")
    yield _in_process("local", "dispatch, local, max_bytes: 64MiB", limited, COMPARE_POLICY=policy)
    for rule in ("noeviction", "allkeys-lru"):
        for key in ("celery-redis", "dispatch-redis", "dispatch-redis-durable"):
            yield _on_redis(_BY_KEY[key], rule)
    if rabbitmq:
        for key in ("celery-rabbitmq", "dispatch-rabbitmq"):
            yield _on_rabbitmq(_BY_KEY[key])


def _in_process(case: str, name: str, limit: str, **environment: str) -> Outcome:
    stage = {**_bare(), **environment}
    said = _run([sys.executable, "-m", "benchmarks.compare.runout", case], stage)
    accepted = said.get("accepted", 0)
    gone = said["outcome"] == _KILLED
    return Outcome(name, limit, accepted, None if gone else accepted, said["outcome"])


def _go(limit: str) -> Outcome:
    """A channel with room for all of them, as one who fears to block would make it."""
    name = "Go channel, 100,000 slots"
    program = go.program()
    if program is None:
        return Outcome(name, limit, 0, 0, "not measured: no Go toolchain")
    said = _run([str(program), "fill", "100000", str(SIZE)], _bare())
    gone = said["outcome"] == _KILLED
    return Outcome(name, limit, said.get("accepted", 0), None if gone else said["kept"], said["outcome"])


def _on_redis(contestant: Contestant, rule: str) -> Outcome:
    with Server(settings={"maxmemory": str(_REDIS_LIMIT), "maxmemory-policy": rule}) as server:
        stage = Stage(contestant, server, None)
        environment = {**stage.environment, "COMPARE_MOST": str(_TO_REDIS)}
        said = _run([sys.executable, "-m", "benchmarks.compare.runout", contestant.way], environment)
        client = redis.Redis.from_url(server.url)
        client.config_set("maxmemory", 0)
        queue = "celery" if contestant.way == "plain" else "dispatch"
        left = int(client.llen(queue))  # type: ignore[arg-type] # the client is no asynchronous one
    limit = f"maxmemory {_REDIS_LIMIT >> 20} MiB, {rule}"
    return Outcome(contestant.name, limit, said["accepted"], left, said["outcome"])


def _on_rabbitmq(contestant: Contestant) -> Outcome:
    """The alarm is on from the beginning; when it is over, what is in the queue is counted."""
    with Server() as server, RabbitMQ() as node:
        stage = Stage(contestant, server, node)
        _watermark(node, "0.0000001")
        environment = {**stage.environment, "COMPARE_MOST": "2000"}
        said = _run([sys.executable, "-m", "benchmarks.compare.runout", contestant.way], environment)
        _watermark(node, "0.6")
        queue = "celery" if contestant.way == "plain" else "dispatch"
        left = _settled(node.url, queue)
    return Outcome(contestant.name, "memory alarm", said["accepted"], min(left, said["accepted"]), said["outcome"])


def _settled(url: str, queue: str) -> int:
    """How many messages are in it, once that has been the same for two seconds."""
    seen: list[int] = []
    with Connection(url) as connection:
        while len(seen) < _STILL or len(set(seen[-_STILL:])) > 1:
            try:
                seen.append(connection.channel().queue_declare(queue, passive=True).message_count)
            except ChannelError:
                return 0  # nobody has made it: nothing was sent
            sleep(0.2)
    return seen[-1]


def _watermark(node: RabbitMQ, share: str) -> None:
    control = Path(which("rabbitmqctl") or "rabbitmqctl").resolve().with_name("rabbitmqctl")
    words = [control, "-n", f"{node._name}@localhost", "set_vm_memory_high_watermark", share]  # noqa: SLF001 - ours
    subprocess.run(words, env=node._environment(), check=True, capture_output=True)  # noqa: SLF001 - ours


def _bare() -> dict[str, str]:
    return dict(Stage(_BY_KEY["executor"], None, None).environment)  # type: ignore[arg-type] # it needs no server


def _run(words: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The last thing that was said, and how it ended; killed where it holds more than it may."""
    with subprocess.Popen(words, cwd=HOME, env=environment, stdout=subprocess.PIPE, text=True) as process:
        guard = threading.Thread(target=_guard, args=(psutil.Process(process.pid),))
        guard.start()
        out, _ = process.communicate()
        guard.join()
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    said: dict[str, Any] = {"accepted": 0, **(lines[-1] if lines else {})}
    killed = process.returncode == -signal.SIGKILL
    return said | {"outcome": _KILLED if killed else said.get("outcome", f"ends with status {process.returncode}")}


def _guard(process: psutil.Process) -> None:
    """What the kernel does to a container that holds more than it may."""
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            if process.memory_info().rss > _LIMIT:
                process.kill()
            sleep(_LOOK)
