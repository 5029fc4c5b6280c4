"""The suite, passed by real Celery workers with one process each."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from kombu import pools

from conformance.tracing import SOURCE, InTrace
from dispatch import Dispatcher
from dispatch.policy import parse
from dispatch.testing.conformance import Capabilities, TransportConformance
from dispatch.transports.celery import build_app
from dispatch.transports.celery._registration import withdraw_from
from servers.project import write

pytestmark = pytest.mark.slow

QUEUE = """
version: 1
destinations:
  queue: {transport: celery, queue: conformance}
defaults: {durability: ephemeral}
otherwise: {route_to: queue}
"""
SHOP = """
import dispatch
import dispatch.testing.conformance
from opentelemetry import trace

app = dispatch.celery_app()
app.conf.task_default_queue = "conformance"
dispatch.telemetry.setup(service="conformance")
"""


@contextmanager
def working(folder, name, broker_url, result_backend, *, policy=QUEUE, settings=None):
    """A worker on the broker, and an app whose dispatcher sends everything there."""
    project = write(folder, name, SHOP + SOURCE, broker_url=broker_url, result_backend=result_backend)
    app = build_app(broker_url, result_backend)
    app.conf.task_default_queue = "conformance"
    with project.worker(pool="prefork", concurrency=1, env={"DISPATCH_TRACE_DIR": str(folder / "traces")}):
        with Dispatcher(policy=parse(policy), celery=app, settings=settings) as dispatcher:
            yield dispatcher
        withdraw_from(app)
        app.close()
    pools.reset()  # kombu keeps one for each address, and all apps with that address share it


@pytest.fixture(scope="module")
def on_redis(tmp_path_factory, new_redis_url):
    url = new_redis_url()
    with working(tmp_path_factory.mktemp("conformance"), "conformance_redis", url, url) as dispatcher:
        yield dispatcher


@pytest.fixture(scope="module")
def on_rabbitmq(tmp_path_factory, rabbitmq_url, new_redis_url):
    folder = tmp_path_factory.mktemp("conformance")
    with working(folder, "conformance_rabbitmq", rabbitmq_url, new_redis_url()) as dispatcher:
        yield dispatcher


class OnCelery(InTrace, TransportConformance):
    """What Celery promises on every broker."""

    capabilities = Capabilities(
        survives_restart=True, leaves_process=True, runs_apart=True, can_delay=True, can_stop=True
    )


class TestCeleryOnRedis(OnCelery):
    """A worker on a Redis, which keeps the results too."""

    @pytest.fixture
    def dispatcher(self, on_redis):
        return on_redis


@pytest.mark.rabbitmq
class TestCeleryOnRabbitMQ(OnCelery):
    """A worker on a RabbitMQ, with its results in a Redis."""

    @pytest.fixture
    def dispatcher(self, on_rabbitmq):
        return on_rabbitmq
