"""A Celery worker whose every step a test takes: Celery's own strategy, requests and tracer, our claims, and a pool in
which a call stands still until it is told to go on.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import redis
from billiard.einfo import ExceptionInfo
from celery.app.trace import trace_task_ret
from celery.exceptions import TaskRevokedError, WorkerLostError
from celery.worker import state
from celery.worker.strategy import default
from greenlet import GreenletExit, greenlet

from dispatch.transports.celery.ledger import Ledger
from dispatch.transports.celery.worker import _claims
from properties.caller import QUEUE
from properties.link import Client, Link


class Job:
    """A delivery of a call in the worker's pool."""

    def __init__(self, worker: Worker, args: tuple[Any, ...], told: dict[str, Any]) -> None:
        self.worker = worker
        self.call: str = args[1]
        self.request: Any = told["callback"].__self__
        self.stage = "waiting"
        """`waiting`, `asking` for its claim, `running`, `ended`, or `gone` with its process."""
        self.asked = 0
        self.until = 0
        """The end of its lease, as far as it was renewed."""
        self._told = told
        self._greenlet = greenlet(lambda word: trace_task_ret(*args, app=worker.app))

    def go(self, word: str = "") -> None:
        """On to where it has to wait for somebody, or to its end."""
        if self.stage == "waiting":
            self._told["accept_callback"](0, 0.0)
        answer = self._greenlet.switch(word)
        if self._greenlet.dead:
            self.stage = "ended"
            failed, value, _ = answer
            self._told["callback"]((failed, value, 0.0))
        else:
            self.stage = answer

    def vanish(self) -> None:
        """Its process is gone: nothing is said to anybody."""
        self.stage = "gone"
        claims = self.worker.claims
        held = claims._held.pop(_claims._owner(self.request._context), None)
        if held is not None:
            claims._renewer.let_go(held.claim)
        if self._greenlet:
            self._greenlet.throw(GreenletExit)

    def is_missed(self) -> None:
        """The worker's main process has noticed."""
        try:
            raise WorkerLostError("killed")  # noqa: TRY301 - Celery wants it with a traceback
        except WorkerLostError:
            self.request.on_failure(ExceptionInfo())


class Worker:
    """One life of a worker's process."""

    is_green = False

    def __init__(self, app: Any, channel: Any, client: redis.Redis) -> None:
        self.app = app
        self.link = Link()
        self.jobs: list[Job] = []
        self.claims = _claims.claims_of(app)
        self.claims._connect = lambda: Ledger(Client(client, self.link))
        self.claims._renewer._connect = self.claims._connect
        self.claims._renewer._running = True  # by hand
        self._channel = channel
        self._strategies = {name: default(app.tasks[name], app, self._consumer()) for name in self._names()}

    def take(self) -> bool:
        """The next message: to the pool, or thrown away. False: there is none."""
        message = self._channel.basic_get(QUEUE)
        if message is None:
            return False
        self._strategies[message.headers["task"]](message, None, message.ack_log_error, message.reject_log_error, [])
        return True

    def fetch(self) -> bool:
        """The next message, and no more: it lies in this process, and in kombu's list of what nobody acknowledged."""
        return self._channel.basic_get(QUEUE) is not None

    def restore(self) -> None:
        """kombu gives back what nobody has acknowledged for too long."""
        self._channel.qos.restore_visible(interval=1)

    def renew(self) -> list[Job]:
        """Begin the leases of all that runs here anew. The jobs that have theirs. Raises what Redis raises."""
        renewer = self.claims._renewer
        held = renewer.held()
        lost = self.claims.ledger.renew(held)
        renewer._report(lost)
        kept = {claim.id for claim in renewer.held()}
        return [job for job in self.jobs if job.stage == "running" and job.call in kept]

    def die(self) -> None:
        self.link.dead = True
        for job in self.jobs:
            job.vanish()
        self.jobs.clear()
        _claims._claims.pop(id(self.app), None)
        self._channel.qos._delivered.clear()  # it gives nothing back

    # ---- as Celery's pool

    def apply_async(self, _: Any, args: tuple[Any, ...], **told: Any) -> None:
        self.jobs.append(Job(self, args, told))

    # ---- within

    def _names(self) -> list[str]:
        return [name for name in self.app.tasks if name.startswith("contract.")]

    def _consumer(self) -> Any:
        return SimpleNamespace(
            hostname="contract",
            connection_errors=(OSError, redis.RedisError),
            event_dispatcher=None,
            timer=SimpleNamespace(call_at=None),
            apply_eta_task=None,
            disable_rate_limits=True,
            task_buckets={},
            on_task_request=self._process,
            _limit_task=None,
            _limit_post_eta=None,
            pool=self,
            controller=SimpleNamespace(state=state),
        )

    def _process(self, request: Any) -> None:
        """As `WorkController` does."""
        try:
            request.execute_using_pool(self)
        except TaskRevokedError:
            return
