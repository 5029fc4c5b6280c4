"""The default dispatcher: made by `configure`, or by the first call that needs one."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dispatch import telemetry
from dispatch._compose import PolicySource, hook_worker, recommended
from dispatch._dispatcher import Dispatcher
from dispatch._fork import notice_fork, renew_in_child
from dispatch._requirements import Duration
from dispatch._sigterm import sigterm
from dispatch._statistics import Statistics
from dispatch.policy import Policy
from dispatch.pool import Drained
from dispatch.settings import Settings

if TYPE_CHECKING:
    from dispatch.transports.celery import AppSource


class _Default:
    """Holds the default dispatcher. `current` is what every call reads, so it takes no lock."""

    def __init__(self) -> None:
        self.dispatcher: Dispatcher | None = None
        self.expects_worker = False
        self.looks = False
        self.renew_lock()

    def renew_lock(self) -> None:
        # A fork may happen while another thread holds it.
        self.lock = threading.RLock()


_default = _Default()


def current() -> Dispatcher:
    """The default dispatcher; without `configure`, the first call makes it from the environment."""
    return _default.dispatcher or _make()


async def acurrent() -> Dispatcher:
    """`current` for coroutines: reading policies, and importing Celery, must not stop their loop."""
    made = _default.dispatcher
    return made if made is not None else await asyncio.to_thread(_make)


def configure(
    *,
    policy: PolicySource | None = None,
    celery: Any = None,
    settings: Settings | None = None,
    handle_signals: bool | None = None,
) -> Dispatcher:
    """Set up the default dispatcher, and end the one before it.

    `policy` is the name of a ready one, a path, or several of them, the later overlaying the earlier; `celery`
    is the application's Celery app, or `"module:attribute"`. What is not given comes from `settings`, by default
    the environment. A connection to the broker is opened in the background, so that the first call finds it warm.

    `handle_signals=True`, from the main thread: on SIGTERM do what `shutdown` does, then give whoever handled it
    before his turn. `False` takes that back; not said, it stays as it is. Does nothing in a Celery worker.

    Raises `PolicyError`, with every mistake in it, or `NotConfigured`.
    """
    notice_fork()
    if handle_signals is not None:
        sigterm.refuse_elsewhere()
    with _default.lock:
        before = _default.dispatcher
        if celery is None and settings is None and before is not None:
            celery = before.celery.known  # an app from `celery_app()` outlives a change of policy
        _default.dispatcher = Dispatcher(policy=policy, celery=celery, settings=settings)
        telemetry.follow(_default.dispatcher.settings)
    if before is not None:
        before.shutdown()
    if handle_signals is not None:
        sigterm.handle(wanted=handle_signals)
    sigterm.expect()
    _default.dispatcher.celery.warm()
    if not _default.looks:
        _default.dispatcher.begin()
    return _default.dispatcher


@contextmanager
def looking() -> Iterator[None]:
    """For a block that only looks at an application: the dispatchers that it makes run and forward nothing."""
    before, _default.looks = _default.looks, True
    try:
        yield
    finally:
        _default.looks = before


def celery_app() -> Any:
    """The Celery app: the one `configure(celery=…)` was given, else one made of `DISPATCH_BROKER_URL`.

    Write `app = dispatch.celery_app()` where `celery -A` looks for it. Raises `NotConfigured` without a broker.
    """
    return current().celery.app()


def celery_settings(app: Any = None) -> dict[str, Any]:
    """What the workers of your own Celery app need for durable calls.

    `app.conf.update(dispatch.celery_settings(app))`, where the app is made; without `app`, for the app or the broker
    that is configured. An app that took them describes its queues on RabbitMQ with our arguments from then on.
    Raises `NotConfigured` where there is neither.
    """
    return recommended(current().celery.app() if app is None else app)


def expect_worker() -> None:
    """Should this process be a Celery worker: have its tasks registered before it consumes, and its end be ours too."""
    if "celery" in sys.modules and not _default.expects_worker:
        _default.expects_worker = True
        hook_worker(_source_of_worker, at_end=_end_of_worker)


def shutdown(grace: Duration | None = None) -> Drained:
    """End the default dispatcher: nothing new is taken, started calls finish, waiting ones follow `on_shutdown`.

    Waits at most `grace`, by default `DISPATCH_SHUTDOWN_GRACE`. Happens by itself when the interpreter exits.
    `dispatch.configure()` starts anew. Twice is once; never started is fine.
    """
    return Drained() if _default.dispatcher is None else _default.dispatcher.shutdown(grace)


def reload() -> Policy:
    """Read the files of the policy in force again, and decide by them from the next call on.

    Returns the policy that is in force then. All of it holds, or nothing: with a mistake in it, or a change that takes
    a restart, `PolicyError` is raised with every problem, and the last good policy stays in force, as the log says.
    Raises `NotConfigured` where `configure` was given a policy that was not read from files, or after `shutdown`. In a
    signal handler, have another thread do it.
    """
    made = _default.dispatcher
    return current().policy if made is None else made.reload()


def statistics() -> Statistics:
    """What the default dispatcher and this process hold at this moment; costs the calls nothing."""
    return current().statistics()


def _source_of_worker() -> AppSource:
    sigterm.leave_to_celery()
    return current().celery.source


def _end_of_worker() -> None:
    shutdown()
    telemetry.flush()


def _make() -> Dispatcher:
    notice_fork()
    with _default.lock:
        if _default.dispatcher is None:
            _default.dispatcher = Dispatcher()
            telemetry.follow(_default.dispatcher.settings)
            if not _default.looks:
                _default.dispatcher.begin()
        return _default.dispatcher


renew_in_child(_default.renew_lock)
