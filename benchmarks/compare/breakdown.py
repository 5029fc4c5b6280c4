"""Where Celery's half millisecond goes, and dispatch's microseconds: each part measured by itself.

What no part explains is shown as such. Run as a program, with the environment of a stage: it says one line of JSON.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

_TIMES = 2_000
_ROUNDS = 5


def each(work: Callable[[], object], times: int = _TIMES) -> float:
    """Seconds for one, the best of several rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = perf_counter()
        for _ in range(times):
            work()
        best = min(best, (perf_counter() - began) / times)
    return best


def celery() -> dict[str, float]:
    """One `delay()` on Redis. The broker's share is its own figure, the network's a bare socket's time less that."""
    import redis
    from kombu.utils import json as kombu_json

    from benchmarks.compare import plain

    url = os.environ["COMPARE_BROKER"]
    client = redis.Redis.from_url(url)
    plain.nothing.delay(None)
    queue = plain.app.conf.task_default_queue
    message = client.lindex(queue, 0)
    assert isinstance(message, bytes)
    envelope = json.loads(message)
    body = json.loads(base64.b64decode(envelope["body"]))

    whole = each(lambda: plain.nothing.delay(None), 500)
    client.delete(queue)

    def serialize() -> None:
        text = base64.b64encode(kombu_json.dumps(body).encode()).decode()
        kombu_json.dumps({**envelope, "body": text})

    encoded = each(serialize)
    pushed = each(lambda: client.lpush("compare", message))
    client.delete("compare")
    wire = _on_the_wire(url, message)
    client.config_resetstat()
    each(lambda: client.lpush("compare", message))
    stats: Any = client.info("commandstats")
    server = stats["cmdstat_lpush"]["usec_per_call"] / 1e6
    client.delete("compare")
    parts = {
        "Redis": server,
        "network": wire - server,
        "redis-py": pushed - wire,
        "serialization": encoded,
    }
    return {**parts, "the rest: Celery and kombu": whole - sum(parts.values())}


def _on_the_wire(url: str, message: bytes) -> float:
    """The same LPUSH over a socket, with nothing around it."""
    host, _, port = url.removeprefix("redis://").partition("/")[0].partition(":")
    command = b"*3\r\n$5\r\nLPUSH\r\n$7\r\ncompare\r\n$%d\r\n%b\r\n" % (len(message), message)
    with socket.create_connection((host, int(port))) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def push() -> None:
            wire.sendall(command)
            wire.recv(64)

        return each(push)


def dispatch() -> dict[str, float]:
    """One `delay()` on a local destination, of ten thousand, to its end."""
    from contextvars import copy_context
    from threading import Event

    import dispatch as d
    from benchmarks.compare import routed
    from dispatch._call import Call
    from dispatch._clock import ticks
    from dispatch._executor import execute
    from dispatch._handle import Handle
    from dispatch._ids import here

    spec = routed.nothing.spec
    with d.Dispatcher(policy=os.environ["COMPARE_POLICY"]) as dispatcher:
        task, hold = routed.nothing.using(dispatcher), routed.hold.using(dispatcher)
        plan = dispatcher.policy.bind(spec, dispatcher.destinations)
        decision = (plan.only or plan.route(None)).decision
        decided = each(lambda: plan.only or plan.route(plan.measure((None,), {})), 10_000)

        def make() -> Call:
            call = Call(
                spec,
                (None,),
                {},
                copy_context(),
                decision,
                here.space,
                here.space.number(),
                ticks(),
                ticks(),
                None,
                None,
            )
            Handle(call)
            return call

        made = each(make, 10_000)
        executed = each(lambda: execute(spec.function, (None,), {}), 10_000)
        runner = _runner(dispatcher)

        def turn() -> tuple[float, float, float]:
            """Submitting while nobody takes anything; running alone; all of it. In turns, as the machine changes."""
            gate = Event()
            for _ in range(8):
                hold.delay(gate)
            calls = [make() for _ in range(10_000)]
            began = perf_counter()
            handles = [task.delay(None) for _ in range(10_000)]
            submitted = perf_counter()
            gate.set()
            for handle in handles:
                handle.result(60)
            alone = perf_counter()
            for call in calls:
                runner.run(call)
            ran = perf_counter()
            for handle in [task.delay(None) for _ in range(10_000)]:
                handle.result(60)
            return (submitted - began) / 10_000, (ran - alone) / 10_000, (perf_counter() - ran) / 10_000

        submit, run, whole = map(min, zip(*(turn() for _ in range(_ROUNDS)), strict=True))
    return {
        "deciding": decided,
        "call and handle": made,
        "channel and checks": submit - decided - made,
        "user code": executed,
        "worker, settling": run - executed,
        # Below nothing where two threads did on two cores at once what is counted one after the other here.
        "the rest: waking, switching, forgetting": whole - submit - run,
    }


def _runner(dispatcher: Any) -> Any:
    (fast,) = dispatcher.destinations.values()
    return fast._functions  # noqa: SLF001 - what is measured is the inside


if __name__ == "__main__":
    print(json.dumps({"celery": celery, "dispatch": dispatch}[sys.argv[1]]()))
