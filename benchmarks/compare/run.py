"""One run of it all: who takes part, what is asked of them, and the figures as one record."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec
import psutil

from benchmarks.compare import go
from benchmarks.compare.contestants import CONTESTANTS, Contestant
from benchmarks.compare.scarcity import outcomes
from benchmarks.compare.stage import HOME, Stage, held, servers
from dispatch.embedded import Server
from dispatch.embedded._rabbitmq import RabbitMQ
from dispatch.embedded._rabbitmq import program as rabbitmq_program

_PACKAGES = ("dispatch-router", "celery", "kombu", "redis", "amqp")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked: of a full run, or of a quick look."""

    calls: int = 10_000
    rounds: int = 3
    """The best of so many."""
    seconds: float = 3.0
    """Of each offered load."""
    waiting: int = 100_000
    bytes_sent: int = 20_000_000
    """Of each payload size, at the most; two calls at the least."""
    rates: tuple[int, ...] = (10, 100, 1_000, 10_000, 100_000)
    """Calls a second that are offered."""
    sizes: tuple[int, ...] = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    """Of payloads, in bytes."""
    only: tuple[str, ...] = ()
    """Contestants by their keys; none: all."""
    parts: tuple[str, ...] = ("calls", "memory", "breakdown", "scarcity")
    rabbitmq: bool = True


QUICK = Plan(calls=1_000, rounds=1, seconds=0.5, waiting=2_000, bytes_sent=1_000_000)


def take(plan: Plan, tell: Callable[[str], object]) -> dict[str, Any]:
    """Everything measured, as JSON can say it. `tell` hears what is being done."""
    rabbitmq = plan.rabbitmq and rabbitmq_program() is not None
    record: dict[str, Any] = {"made": datetime.now(UTC).isoformat(timespec="minutes"), **_machine(), "plan": plan}
    wanted = [each for each in CONTESTANTS if not plan.only or each.key in plan.only]
    there = [each for each in wanted if each.broker != "rabbitmq" or rabbitmq]
    if go.program() is None:
        there = [each for each in there if each.key != "go"]
    record["missing"] = [each.name for each in wanted if each not in there]
    record["contestants"] = {}
    for each in there:
        tell(each.name)
        with servers(rabbitmq=each.broker == "rabbitmq") as (server, node):
            record["versions"] |= _servers(server, node)
            record["contestants"][each.key] = {"name": each.name, **_of(plan, each, server, node)}
    if "breakdown" in plan.parts:
        tell("where the time goes")
        with servers(rabbitmq=False) as (server, _):
            record["breakdown"] = _breakdown(server)
    if "scarcity" in plan.parts:
        tell("when memory runs out")
        record["scarcity"] = [
            {**msgspec.structs.asdict(each), "lost": each.lost} for each in outcomes(rabbitmq=rabbitmq)
        ]
    return record


def _of(plan: Plan, contestant: Contestant, server: Server, node: RabbitMQ | None) -> dict[str, Any]:
    stage = Stage(contestant, server, node)
    said: dict[str, Any] = {}
    if "calls" in plan.parts:
        said |= _calls(plan, stage)
    if "memory" in plan.parts:
        said["memory"] = _memory(plan, stage)
    return said


def _calls(plan: Plan, stage: Stage) -> dict[str, Any]:
    """Throughput, then what that leaves room for: offered loads, and payloads of all sizes."""
    far = stage.contestant.far
    with stage.worker() if far else nullcontext() as worker:
        rounds = [_throughput(plan, stage, None if worker is None else worker.pid) for _ in range(plan.rounds)]
        best = min(rounds, key=lambda each: each["each"])
        best["submit"] = min(each["submit"] for each in rounds)
        loads = []
        for rate in plan.rates:
            if rate * best["each"] > 1.5 or rate * best["submit"] > 1.5:
                loads.append({"rate": rate, "saturated": True})
            else:
                loads.append(_ask(stage, "latency", rate, max(20, round(rate * plan.seconds))))
        sizes = [_ask(stage, "payload", size, _count(plan, size, far=far)) for size in plan.sizes]
    return {"throughput": best, "latency": loads, "payload": sizes}


def _throughput(plan: Plan, stage: Stage, worker: int | None) -> dict[str, Any]:
    pids = [pid for pid in (worker, stage.broker_pid) if pid is not None]
    before = [stage.processor(pid) for pid in pids]
    said = _ask(stage, "throughput", plan.calls)
    worked = [stage.processor(pid) - was for pid, was in zip(pids, before, strict=True)]
    names = ("worker_cpu", "broker_cpu")
    return said | {name: spent / plan.calls for name, spent in zip(names, worked, strict=False)}


def _memory(plan: Plan, stage: Stage) -> dict[str, Any]:
    """PSS of caller, worker and broker at rest, with the calls waiting, and when they have run."""
    seen: dict[str, dict[str, int]] = {}
    far = stage.contestant.far
    stage.clear()
    with ExitStack() as stack:
        worker = stack.enter_context(stage.worker()) if far else None

        def stand(phase: str) -> None:
            nonlocal worker
            look = {"caller": held(stage.caller_pid)}
            if stage.broker_pid is not None:
                look["broker"] = held(stage.broker_pid)
            if worker is not None:
                look["worker"] = held(worker.pid)
            seen[phase] = look
            if far and phase == "rest":
                stack.pop_all().close()
                worker = None
            if far and phase == "waiting":
                worker = stack.enter_context(stage.worker())

        count = plan.waiting
        _ask(stage, "memory", count, stand=stand)
    growth = sum(seen["waiting"].values()) - seen["rest"]["caller"] - seen["rest"].get("broker", 0)
    return {"waiting": count, "phases": seen, "bytes_each": growth / count}


def _ask(stage: Stage, measure: str, *arguments: Any, stand: Callable[[str], None] | None = None) -> dict[str, Any]:
    return stage.ask(measure, *arguments, stand=stand)


def _count(plan: Plan, size: int, *, far: bool) -> int:
    most = 200 if far else 2_000
    return max(2, min(most, plan.bytes_sent // size))


def _breakdown(server: Server) -> dict[str, Any]:
    by_key = {each.key: each for each in CONTESTANTS}
    said = {}
    for what, key in (("celery", "celery-redis"), ("dispatch", "local")):
        stage = Stage(by_key[key], server, None)
        words = [sys.executable, "-m", "benchmarks.compare.breakdown", what]
        out = subprocess.run(words, cwd=HOME, env=stage.environment, capture_output=True, text=True, check=True).stdout
        said[what] = msgspec.json.decode(out)
        stage.clear()
    return said


def _machine() -> dict[str, Any]:
    return {
        "machine": {
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "architecture": platform.machine(),
        },
        "versions": {
            "Python": platform.python_version(),
            "Go": go.version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _servers(server: Server, node: RabbitMQ | None) -> dict[str, str]:
    import redis

    facts: Any = redis.Redis.from_url(server.url).info("server")
    said = {server.program.name: str(facts["redis_version"])}
    if node is not None and shutil.which("rabbitmq-server"):
        from kombu import Connection

        with Connection(node.url) as connection:
            connection.connect()
            said["RabbitMQ"] = str(connection.connection.server_properties["version"])
    return said
