"""What a worker tells of itself when it is asked: a remote control command of Celery's, `dispatch`."""

from __future__ import annotations

import os
import platform
import sys
import threading
from hashlib import sha256
from inspect import signature
from typing import Any

import celery
from celery.worker import control
from celery.worker import state as worker_state

from dispatch._clock import wall
from dispatch._registry import TaskSpec, registry
from dispatch._release import release
from dispatch.transports.celery.worker._refusals import refusals

COMMAND = "dispatch"

_CONF = (
    "accept_content",
    "result_accept_content",
    "task_serializer",
    "result_serializer",
    "worker_prefetch_multiplier",
)

_register: Any = control.inspect_command


@_register(name=COMMAND)  # type: ignore[untyped-decorator] # Celery has no types
def tell(state: Any, **_: Any) -> dict[str, Any]:
    """Never an argument, never an address. Asked in the worker's main process."""
    consumer = state.consumer
    pool = consumer.pool
    return {
        "versions": {"dispatch": release(), "celery": celery.__version__, "python": platform.python_version()},
        "wall": wall(),
        "pid": os.getpid(),
        "queues": sorted(queue.name for queue in consumer.task_consumer.queues),
        "tasks": {spec.name: digest(spec) for spec in registry},
        "pool": type(pool).__module__.rpartition(".")[2],
        "slots": pool.num_processes or 0,
        "busy": len(worker_state.active_requests),
        "threads": sorted(_strangers()),
        "grpc": "grpc" in sys.modules,
        "refused": refusals.figures(),
        "conf": {name: _plain(state.app.conf.get(name)) for name in _CONF},
    }


def digest(spec: TaskSpec) -> str:
    """The same in two processes that know the task by the same parameters and the same words of its decorator."""
    said = (str(signature(spec.function)), spec.timeout_ns, spec.expires_ns, spec.coroutine, spec.retry)
    return sha256(repr(said).encode()).hexdigest()[:12]


def _strangers() -> list[str]:
    """Threads that are there when the next pool process is forked. Ours know of forks, and Celery's of themselves."""
    known = ("MainThread", "dispatch", "Dummy-", "_DummyThread")
    return [
        each.name
        for each in threading.enumerate()
        if not each.name.startswith(known) and not type(each).__module__.startswith(("celery", "kombu", "billiard"))
    ]


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else value
