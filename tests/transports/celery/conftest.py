"""A small shop whose tasks a real worker runs, and the handles of calls that were sent to it by Celery's own means."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from textwrap import dedent
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import redis
from kombu import pools

from dispatch._call import Call, CallOptions
from dispatch._clock import ticks
from dispatch._decision import Decision
from dispatch._handle import Handle
from dispatch._ids import here
from dispatch._registry import TaskSpec, registry
from dispatch._requirements import Requirements
from dispatch._signature import mirror
from dispatch.embedded import Worker
from dispatch.transports.celery import Results
from dispatch.transports.celery._registration import withdraw_from
from servers.project import Project, write

PRELUDE = """
import inspect
import json
import os

import redis

from dispatch._registry import TaskSpec, registry
from dispatch._requirements import Requirements
from dispatch._signature import mirror
from dispatch.transports.celery import AppSource, Store, build_app, hook_worker

app = build_app(os.environ["DISPATCH_BROKER_URL"], os.environ.get("DISPATCH_RESULT_BACKEND"))
app.conf.broker_transport_options = json.loads(os.environ.get("SHOP_TRANSPORT_OPTIONS", "{}"))
app.conf.task_default_queue = __name__  # several shops share one RabbitMQ
store = Store()
source = AppSource(app, store=store)
hook_worker(lambda: source)


def task(*, durability=None, result=True, **said):
    def declare(function):
        name = f"{function.__module__}.{function.__name__}"
        wanted = Requirements(durability=durability)
        registry.declare(TaskSpec(
            name=name, function=function, signature=mirror(function), requirements=wanted, result=result,
            coroutine=inspect.iscoroutinefunction(function), **said,
        ))
        return function

    return declare


def gate():
    return redis.Redis.from_url(os.environ["SHOP_GATE"], decode_responses=True)
"""

_numbers = count(1)


@dataclass
class Shop:
    """A project whose module is also imported here, so that calls can be sent and exceptions rebuilt."""

    project: Project
    module: ModuleType
    gate: redis.Redis
    broker_url: str
    results: Results = field(init=False)

    def __post_init__(self) -> None:
        self.results = Results(self.module.source, self.module.store)

    @property
    def app(self) -> Any:
        return self.module.app

    def worker(self, pool: str, *, concurrency: int = 2) -> AbstractContextManager[Worker]:
        """A real worker. (Celery's solo pool on RabbitMQ takes ten seconds to hear SIGTERM, ours or not.)"""
        solo = pool == "solo"
        return self.project.worker(pool=pool, concurrency=1 if solo else concurrency, grace=0.5 if solo else 10.0)

    def name(self, task: str) -> str:
        return f"{self.project.name}.{task}"

    def send(self, task: str, *args: Any, durability: str | None = None, **options: Any) -> Handle[Any]:
        """Publish as plain Celery does, and give the handle that dispatch would give."""
        headers = options.pop("headers", {}) | ({} if durability is None else {"dispatch-durability": durability})
        sent = self.app.tasks[self.name(task)].apply_async(args, headers=headers, **options)
        return self.handle(task, sent.id)

    def handle(self, task: str, call_id: str) -> Handle[Any]:
        spec = registry.get(self.name(task))
        assert spec is not None
        return Handle(call_of(spec, call_id, self.results))


@pytest.fixture(scope="module")
def new_shop(tmp_path_factory, new_redis_url) -> Iterator[Callable[..., Shop]]:
    """Makes shops: `new_shop(source, broker_url)`. They last for the module."""
    made: list[Shop] = []
    with pytest.MonkeyPatch.context() as patch:

        def make(source: str, broker_url: str, *, backend: str | None = None, **environment: str) -> Shop:
            folder = tmp_path_factory.mktemp("shop")
            patch.syspath_prepend(folder)
            gate = new_redis_url()
            name = f"celery_shop{next(_numbers)}"
            text = dedent(PRELUDE) + dedent(source)
            project = write(folder, name, text, broker_url=broker_url, result_backend=backend)
            project = Project(folder, name, {**project.environment, "SHOP_GATE": gate, **environment})
            for key, value in project.environment.items():
                patch.setenv(key, value)
            module = importlib.import_module(name)
            for key in project.environment:
                patch.delenv(key)
            made.append(Shop(project, module, redis.Redis.from_url(gate, decode_responses=True), broker_url))
            return made[-1]

        yield make
        for shop in made:
            shop.results.close()
            shop.gate.close()
            leave(shop.app)
            sys.modules.pop(shop.project.name, None)
    pools.reset()  # kombu keeps one for each address, and all apps with that address share it


@pytest.fixture
def spec() -> TaskSpec:
    """A task that no worker ever sees."""
    return spec_of(lambda: None)


@pytest.fixture
def new_call(spec) -> Callable[..., Call]:
    """Makes calls by hand: `new_call(results)`."""

    def make(source: Any, call_id: str | None = None, of: TaskSpec = spec, **options: Any) -> Call:
        return call_of(of, call_id or uuid4().hex, source, **options)

    return make


@pytest.fixture
def new_spec() -> Callable[..., TaskSpec]:
    return spec_of


def spec_of(function: Callable[..., Any], *, name: str = "shop.nothing", result: bool = True, **said: Any) -> TaskSpec:
    wanted = Requirements(**said)
    return TaskSpec(name=name, function=function, signature=mirror(function), requirements=wanted, result=result)


def call_of(spec: TaskSpec, call_id: str, source: Any, **options: Any) -> Call:
    decision = Decision(
        destination="queue",
        transport="celery",
        rule="otherwise",
        reason="otherwise",
        policy_version="0",
        durability="ephemeral",
    )
    told = CallOptions(task_id=call_id, **options)
    return Call(spec, (), {}, None, decision, here.space, here.space.number(), ticks(), options=told, source=source)


@pytest.fixture
def leaving() -> Iterator[Callable[[Any], Any]]:
    """Takes an app out of what happens later in the process: `app = leaving(Celery(…))`."""
    apps: list[Any] = []

    def keep(app: Any) -> Any:
        apps.append(app)
        return app

    yield keep
    for app in apps:
        leave(app)


def leave(app: Any) -> None:
    withdraw_from(app)
    app.close()
