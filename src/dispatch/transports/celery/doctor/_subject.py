"""Who is examined: an app, and what the policy and the tasks want of its broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from celery import Celery

from dispatch._registry import TaskSpec
from dispatch.policy import CelerySettings
from dispatch.transports.celery._broker_kind import messaging_system, server_of
from dispatch.transports.celery._store import Store

_OWN = ("celery.", "dispatch.")
"""Prefixes of tasks that nobody of the application wrote."""


class Subject(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Asked about, and never changed."""

    app: Celery
    store: Store
    destinations: Mapping[str, CelerySettings]
    """Those of the policy that lead to the app's broker."""
    specs: Sequence[TaskSpec]
    """The tasks that are declared in this process."""
    durable: bool
    """Whether durable calls may be made: a task, the policy's `tasks` or its `defaults` say so."""
    seconds: float
    """Bounds every wait."""
    probe: bool
    """Whether a call may be sent to each queue."""

    @property
    def system(self) -> str:
        return messaging_system(self.app)

    @property
    def broker(self) -> str:
        """What it is called in findings: its kind and its place, never its password."""
        server = server_of(self.app)
        if server is None:
            return self.system
        return f"{self.system} at {server.host}" + ("" if server.port is None else f":{server.port}")

    @property
    def queues(self) -> dict[str, list[str]]:
        """The queues that the policy's destinations are, each with their names."""
        found: dict[str, list[str]] = {}
        for name, said in self.destinations.items():
            found.setdefault(said.queue or self.app.conf.task_default_queue, []).append(name)
        return found

    @property
    def foreign(self) -> list[str]:
        """Tasks of the app that are not dispatch's: Celery keeps, delays and repeats their calls by itself."""
        ours = {spec.name for spec in self.specs}
        return sorted(name for name in self.app.tasks if not name.startswith(_OWN) and name not in ours)
