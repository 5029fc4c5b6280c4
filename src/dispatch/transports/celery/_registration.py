"""The declared tasks, registered with a Celery app under their own names."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.backends.base import Backend

from dispatch._registry import TaskSpec, registry
from dispatch.transports.celery._canvas import apply_async
from dispatch.transports.celery._signer import Signer, sign_for
from dispatch.transports.celery._store import Store
from dispatch.transports.celery.worker import body_of, reporting, time_limits

REQUEST = "dispatch.transports.celery.worker._request:DispatchRequest"
STRATEGY = "dispatch.transports.celery.worker._gate:strategy"
"""As text: Celery resolves both in the worker alone, so that a caller never imports the worker's half."""


class Registration:
    """One app, and every task declared so far and from now on. A name is registered once."""

    def __init__(self, app: Celery, store: Store) -> None:
        self.app = app
        self.store = store
        self._names: dict[str, object] = {}

    def add(self, spec: TaskSpec) -> None:
        """Register `spec`; a second one of the same name is the same task, declared anew, and its body finds it."""
        mine = object()
        if self._names.setdefault(spec.name, mine) is not mine:
            return
        self.app.task(**self._options(spec))(body_of(spec))

    def _options(self, spec: TaskSpec) -> dict[str, Any]:
        def backend(task: Any) -> Backend:
            return reporting(self.store.of(task.app))

        return {
            "name": spec.name,
            "bind": True,
            # Not into every other app of the process as well, which is Celery's default.
            "shared": False,
            # Acknowledges call by call; the next two let a durable call outlive its worker.
            "Request": REQUEST,
            # Looks at each message before anything of it is decoded.
            "Strategy": STRATEGY,
            "acks_late": True,
            "reject_on_worker_lost": True,
            # Of the task and not of each message, so that canvas and `send_task` have them too.
            **time_limits(spec),
            "apply_async": apply_async,
            "serializer": "json",
            "ignore_result": not spec.result,
            # Asked when it is used: the app may not have read its configuration yet.
            "backend": property(backend),
            # Ours looks whether the arguments are there at all.
            "typing": False,
            # Checks them, and tells Celery how many arguments an error callback takes.
            "__header__": staticmethod(spec.signature),
        }


_registrations: dict[int, Registration] = {}


def register_with(app: Celery, store: Store, signer: Signer | None = None) -> None:
    """Register every declared task with `app`, and each later one as it is declared. Twice is once.

    `signer` is asked to sign the messages of their calls, and to know them again in a worker.
    """
    sign_for(app, signer)
    made = Registration(app, store)
    known = _registrations.setdefault(id(app), made)
    if known is made:
        registry.subscribe(made.add)
    else:
        known.store = store


def withdraw_from(app: Celery) -> None:
    """Register nothing more with `app`. What is registered stays."""
    sign_for(app, None)
    registration = _registrations.pop(id(app), None)
    if registration is not None:
        registry.unsubscribe(registration.add)
