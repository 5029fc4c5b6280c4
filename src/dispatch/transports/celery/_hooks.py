"""What happens by itself in a Celery worker: tasks are registered before it starts, spans flushed as it ends."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, signals
from celery._state import connect_on_app_finalize
from celery.app import base

from dispatch import telemetry
from dispatch._log import logger
from dispatch.transports.celery._app import AppSource
from dispatch.transports.celery._dead_queue import declare
from dispatch.transports.celery._queues import SETTING
from dispatch.transports.celery._redis import connect, keeps_ledger
from dispatch.transports.celery._registration import register_with
from dispatch.transports.celery._signed_producer import is_worker
from dispatch.transports.celery.ledger import Sweeper
from dispatch.transports.celery.payloads import keep_for
from dispatch.transports.celery.publishing import connection, let_go
from dispatch.transports.celery.worker import let_go_of_payload, register_probe, settle

_UID = "dispatch"

_SECONDS = 5.0
"""Bounds each wait for the broker at a worker's start."""


class _Hook:
    """What the signals call. One per process: the source that was named last is the one that is asked."""

    def __init__(self) -> None:
        self.source: Callable[[], AppSource] | None = None
        self.at_end: Callable[[], object] = telemetry.flush
        self._started: weakref.ref[object] | None = None
        self._sweeper: Sweeper | None = None

    def on_start(self, sender: Any = None, instance: Any = None, **_: Any) -> None:
        """Celery has imported its modules, and the worker has neither made its pool nor begun to consume."""
        worker = instance or sender
        if self.source is None or (self._started is not None and self._started() is worker):
            return
        self._started = weakref.ref(worker)
        if instance is not None:  # an embedded worker shares its process with whoever calls
            is_worker()
        try:
            source = self.source()
            app = source() or source.adopt(worker.app)
        except Exception as error:
            # A worker without our tasks would throw their calls away as unknown. Celery logs what a receiver
            # raises and goes on, except for this.
            raise SystemExit(f"dispatch: {error}") from error
        _answer_doctors(worker.app)
        if app is not worker.app:
            logger("celery").warning(
                "this worker runs another app than the one that tasks are registered with, and will not know them",
                runs=str(worker.app),
                registered=str(app),
            )

    def on_copy(self, app: Celery) -> None:
        """A pool process that was spawned, not forked, imports the modules anew and works for a copy of the app."""
        if self.source is not None:
            is_worker()
            source = self.source()
            register_with(app, source.store, source.signer)
            keep_for(app, source.payloads)
            register_probe(app)

    def on_ready(self, sender: Any = None, **_: Any) -> None:
        """The main process has made its pool: a thread that it starts now is in no child."""
        if keeps_ledger(sender.app):
            self._sweeper = Sweeper(partial(connect, sender.app))
            self._sweeper.start()
        elif sender.app.conf.get(SETTING):
            _see_to_dead_queue(sender.app)

    def on_end(self, **_: Any) -> None:
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.stop()
        self.at_end()


def _answer_doctors(app: Celery) -> None:
    """Nobody else needs what this imports."""
    from dispatch.transports.celery.worker import _telling  # noqa: F401, PLC0415 - registers itself as it is imported

    register_probe(app)


def _see_to_dead_queue(app: Celery) -> None:
    """RabbitMQ drops what it cannot move to its dead letters."""
    try:
        made = connection(app, _SECONDS, read_timeout=_SECONDS, write_timeout=_SECONDS)
        try:
            declare(made.default_channel)
        finally:
            let_go(made)
    except Exception as error:  # noqa: BLE001 - the worker works all the same, and who publishes declares it as well
        logger("celery").warning("the queue for dead letters cannot be declared", error=repr(error))


_hook = _Hook()


def hook_worker(source: Callable[[], AppSource], *, at_end: Callable[[], object] | None = None) -> None:
    """Should this process be a Celery worker: have its app resolved in time, and its spans flushed.

    `source` is asked once Celery has imported its modules and before the worker consumes; where it names no
    app, the worker's own is taken. An app that is not to be had ends the worker with the reason. `at_end` is
    called in each process of the worker as it ends, by default to flush telemetry. Twice is once, and the
    last one holds. Costs nothing in a process that is no worker.
    """
    _hook.source = source
    if at_end is not None:
        _hook.at_end = at_end
    # The first is earlier, and not sent by embedded workers; both come after the imports.
    for signal in (signals.celeryd_init, signals.worker_init):
        signal.connect(_hook.on_start, weak=False, dispatch_uid=_UID)
    signals.worker_ready.connect(_hook.on_ready, weak=False, dispatch_uid=_UID)
    signals.task_postrun.connect(settle, weak=False, dispatch_uid=_UID)
    signals.task_postrun.connect(let_go_of_payload, weak=False, dispatch_uid=f"{_UID}-payload")
    for signal in (signals.worker_process_shutdown, signals.worker_shutdown):
        signal.connect(_hook.on_end, weak=False, dispatch_uid=_UID)
    if base.USING_EXECV:
        # The copy is no app that we could be told of, and there is no signal before its tasks are made ready.
        connect_on_app_finalize(_hook.on_copy)
