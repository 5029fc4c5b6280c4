"""The Celery settings that durable calls need, and the app that has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery import Celery

from dispatch._memory_limit import memory_use
from dispatch.errors import NotConfigured
from dispatch.transports.celery._broker_kind import system_of
from dispatch.transports.celery._queues import ARGUMENTS, SETTING, describe_safely

_PREFERRED = {
    "CELERY_BROKER_URL": "DISPATCH_BROKER_URL",
    "CELERY_BROKER_READ_URL": "DISPATCH_BROKER_URL",
    "CELERY_BROKER_WRITE_URL": "DISPATCH_BROKER_URL",
    "CELERY_RESULT_BACKEND": "DISPATCH_RESULT_BACKEND",
}

_TASKS_PER_CHILD = 10_000
"""To start a child takes some hundredths of a second: beside ten thousand tasks that is nothing."""

_CHILDREN_SHARE = 0.8
"""Of the memory limit; below the mark at which local destinations stop to take calls, and with room for the parent."""

_LEAST_PER_CHILD = 256 << 20
"""An application with its libraries; with less, a large one would be replaced after each task."""


def celery_settings(broker_url: str | Sequence[str]) -> dict[str, Any]:
    """What a Celery app on this broker needs so that its durable calls are safe: for `app.conf.update(…)`.

    Everything else that they need comes with each task's own options. On RabbitMQ the queues are quorum queues
    on topic exchanges, from which RabbitMQ drops nothing without a word: what it takes out by itself goes to the dead
    letters (for an app that obeys `_queues.SETTING`). A queue that exists already in another shape keeps it, and
    RabbitMQ refuses the new one, so give `task_default_queue` a new name then.
    """
    settings: dict[str, Any] = {
        # What a worker has taken and not started waits for its present task, however long that takes, and on
        # RabbitMQ counts as delivered when the worker dies.
        "worker_prefetch_multiplier": 1,
        # A task that leaks takes its process along, and not the machine: a child of the prefork pool is replaced when
        # it has run so many tasks, or has ever held so many KiB. Celery looks between two tasks, so nothing is lost.
        "worker_max_tasks_per_child": _TASKS_PER_CHILD,
    }
    memory = _memory_per_child()
    if memory is not None:
        settings["worker_max_memory_per_child"] = memory
    if system_of(broker_url) == "rabbitmq":
        settings |= {
            "task_default_queue_type": "quorum",
            "task_create_missing_queue_type": "quorum",
            # Celery's delayed delivery routes through topics; a direct exchange cannot carry a delay.
            "task_default_exchange_type": "topic",
            "task_create_missing_queue_exchange_type": "topic",
            SETTING: dict(ARGUMENTS),
        }
    return settings


def _memory_per_child() -> int | None:
    """In KiB: with as many children as Celery starts by itself, four fifths of the memory that this process may use.

    `None` where the system does not say how much that is.
    """
    use = memory_use()
    if use is None:
        return None
    return max(int(_CHILDREN_SHARE * use.limit) // (os.cpu_count() or 1), _LEAST_PER_CHILD) // 1024


def settings_for(app: Celery) -> dict[str, Any]:
    """`celery_settings` for the broker that `app` has; from now on the app obeys them in its queues' arguments too."""
    describe_safely(app)
    return celery_settings(app.conf.broker_url or "amqp://")


def build_app(broker_url: str, result_backend: str | None = None) -> Celery:
    """A Celery app for a program that brings none: JSON only, and with `celery_settings`.

    `result_backend` is needed where the broker is not a Redis. Nothing connects before the first use. Raises
    `NotConfigured` when a variable of Celery's own would send the app elsewhere.
    """
    _refuse_what_celery_prefers(broker_url, result_backend)
    app = Celery(main_name(), broker=broker_url, backend=result_backend)
    describe_safely(app)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        # A worker that starts before its broker waits for it, as it would for one that goes away later.
        broker_connection_retry_on_startup=True,
        # Not Celery's own name for it: on a broker that others use too, one program's worker would take, and throw
        # away as unknown, the calls of another; and RabbitMQ would refuse to make a queue that is there a quorum one.
        task_default_queue="dispatch",
        **celery_settings(broker_url),
    )
    return app


def _refuse_what_celery_prefers(broker_url: str, result_backend: str | None) -> None:
    """Celery takes these variables over anything an app is told, so that calls would go where nobody looks for them."""
    ours = {"DISPATCH_BROKER_URL": broker_url, "DISPATCH_RESULT_BACKEND": result_backend}
    for theirs, name in _PREFERRED.items():
        if os.environ.get(theirs) not in (None, "", ours[name]):
            raise NotConfigured(
                f"{theirs} is set and differs from {name}, and Celery takes its own over ours: "
                f"unset {theirs}, or set both alike"
            )


def main_name() -> str:
    """The name of the program's own module, as a worker would import it; a worker's program is Celery."""
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    names = [spec.name.removesuffix(".__main__")] if spec else [Path(file).stem] if file else []
    return "dispatch" if not names or names == ["celery"] else str(names[0])
