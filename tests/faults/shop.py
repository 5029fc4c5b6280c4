"""A small application whose calls write down what becomes of them, and a dispatcher for it in this process."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from textwrap import dedent
from types import ModuleType
from typing import Any, Literal

import dispatch
from dispatch.embedded import Worker
from dispatch.policy import parse
from faults.logbook import NOTE, Account, Logbook
from servers.project import Project

SOURCE = NOTE + dedent("""
    import dispatch

    app = dispatch.celery_app()
    app.conf.task_default_queue = __name__

    @dispatch.task(durability="durable", result=False)
    def work(number):
        note("began", number)
        time.sleep(0.002)
        note("ended", number)

    @dispatch.task(durability="ephemeral", result=False)
    def chat(number):
        note("began", number)
        note("ended", number)

    @dispatch.task(durability="durable", result=False, idempotent=True)
    def repeat(number):
        note("began", number)
        note("ended", number)

    @dispatch.task(durability="durable")
    def answer(number):
        note("began", number)
        while not os.path.exists(os.environ["LOGBOOK"] + ".go"):
            time.sleep(0.01)
        note("ended", number)
        return number
    """)

_POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: {deadline}, breaker: {{{breaker}}}{terms}}}
  spare: {{transport: celery, reached_by: pins, queue: {queue}-spare, publish_deadline: {deadline}}}
  fast: {{transport: local, workers: 2}}
defaults: {{durability: durable}}
rules:
  - {{name: must-survive, match: {{durability: durable}}, route_to: queue, fallback: [{fallback}]}}
otherwise: {{route_to: queue, fallback: [fast]}}
"""


def policy(queue: str, *, deadline: str = "10s", ledger: str = "", spare: bool = False) -> str:
    """The text of a policy: durable calls go to `queue`, and where there is a `spare`, to that one next.

    `ledger` are its terms, on Redis. Its breaker tries again soon.
    """
    return _POLICY.format(
        queue=queue,
        deadline=deadline,
        terms=ledger and f", {ledger}",
        fallback="spare" if spare else "",
        breaker="open_for: 100ms, max_open: 1s",
    )


class Shop:
    """The project, its tasks bound to a dispatcher here, and the log of what ran."""

    def __init__(self, project: Project, book: Logbook, **terms: Any) -> None:
        self.project = project
        self.book = book
        self.policy = policy(project.name, **terms)
        self.module: ModuleType = project.load()
        self.dispatcher = dispatch.Dispatcher(policy=parse(self.policy), celery=self.module.app)

    @property
    def publisher(self) -> Any:
        """The one thread that speaks to the broker."""
        return self.dispatcher.destinations["queue"].broker.way().publisher

    def task(self, name: str) -> Any:
        return getattr(self.module, name).using(self.dispatcher)

    def worker(self, pool: Literal["prefork", "solo", "threads"] = "prefork") -> AbstractContextManager[Worker]:
        return self.project.worker(pool=pool, concurrency=2, env={"LOGBOOK": str(self.book.path)})

    def wait_for(self, sent: Iterable[int], **options: Any) -> Account:
        """As `Logbook.wait_for`."""
        return self.book.wait_for(sent, **options)

    def close(self) -> None:
        self.dispatcher.shutdown("5s")
