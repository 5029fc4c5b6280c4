"""Fixtures that every test may ask for, and the rules that every test is under.

Servers are real and our own: nothing on the machine is needed, and what runs there is left alone. A test that asks
for RabbitMQ has the marker `rabbitmq`, and is deselected where there is none.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from dispatch import Dispatcher
from dispatch._recorder import KEPT, recorder
from dispatch.embedded import Server, _rabbitmq
from dispatch.embedded._rabbitmq import RabbitMQ
from dispatch.policy import parse
from house.policies import ONE_POOL
from servers import leftovers, listeners
from servers.project import Project, write
from servers.proxy import Proxy

_ASKED = "DISPATCH_TEST_REQUIRE"
_required = pytest.StashKey[set[str]]()
_deselected = pytest.StashKey[int]()
_numbers = count(1)


# The run ---------------------------------------------------------------------------------------------------------


def pytest_configure(config):
    """The run sees no setting of the person who starts it: a broker of theirs is not ours to fill."""
    required = set(filter(None, os.environ.get(_ASKED, "").split(",")))
    if unknown := required - {"rabbitmq"}:
        raise pytest.UsageError(f"{_ASKED}: unknown: {', '.join(sorted(unknown))}; known is rabbitmq")
    config.stash[_required] = required
    for name in [name for name in os.environ if name.startswith(("DISPATCH_", "OTEL_"))]:
        del os.environ[name]
    # A run in the background inherits an ignored Ctrl-C, and the programs it starts would inherit that in turn.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    leftovers.mark_this_run()


def pytest_collection_modifyitems(config, items):
    """Without a rabbitmq-server on PATH its tests are deselected, or, where they are required, the run fails.

    Modules with slow tests come first: of those that run side by side, none is left alone at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    needing = [item for item in items if item.get_closest_marker("rabbitmq")]
    if not needing or _rabbitmq.program() is not None:
        return
    if "rabbitmq" in config.stash[_required]:
        raise pytest.UsageError(f"{_ASKED}=rabbitmq, and there is no rabbitmq-server on PATH")
    config.stash[_deselected] = len(needing)
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


def pytest_terminal_summary(terminalreporter, config):
    """What was left out is said where it is seen, in the last lines."""
    if number := config.stash.get(_deselected, 0):
        terminalreporter.write_line(f"deselected {number} tests: no rabbitmq-server on PATH", yellow=True)


# Every test ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """A test runs in an empty folder, so that no `.env` is read, and what it does to the environment ends with it."""
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in os.environ if name.startswith(("DISPATCH_", "OTEL_"))]:
        del os.environ[name]


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_behind():
    """When a module of tests is done, the processes and threads that it started are gone."""
    processes, threads = leftovers.processes(), leftovers.threads()
    yield
    leftovers.none_but(processes, leftovers.processes)
    leftovers.none_but(threads, leftovers.threads)


@pytest.fixture(scope="session", autouse=True)
def _no_orphans():
    """When the run is done, no process that it started lives on, wherever it is in the tree."""
    yield
    leftovers.none_but(set(), leftovers.orphans)


# Brokers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """The Redis of the run, append-only file on. Not to be stopped or frozen: see `private_redis`."""
    with leftovers.lasting():
        server = Server(settings={"databases": "4096"}).start()
    with server:
        yield server


@pytest.fixture(scope="session")
def new_redis_url(redis_server) -> Callable[[], str]:
    """Makes URLs, each of a logical database that nobody used before: for fixtures that outlive one test."""
    numbers = count()
    return lambda: f"redis://127.0.0.1:{redis_server.port}/{next(numbers)}"


@pytest.fixture
def redis_url(new_redis_url) -> str:
    """A Redis with nothing in it."""
    return new_redis_url()


@pytest.fixture
def private_redis() -> Iterator[Server]:
    """A Redis of this test alone: `kill`, `stop`, `start` again on the same port and data, or `frozen(server.pid)`."""
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQ]:
    """The RabbitMQ of the run. Not to be stopped or frozen: see `private_rabbitmq`."""
    node = RabbitMQ()
    with leftovers.lasting():
        node.start()
    with node:
        yield node


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq_server) -> str:
    """A RabbitMQ that other tests use too: name the queues with `queue_name`."""
    return rabbitmq_server.url


@pytest.fixture(scope="module")
def _breakable_rabbitmq() -> Iterator[RabbitMQ]:
    with RabbitMQ() as node:
        yield node


@pytest.fixture
def private_rabbitmq(_breakable_rabbitmq) -> RabbitMQ:
    """A RabbitMQ to kill, restart or freeze, of the tests of one module: name the queues with `queue_name`.

    One for each test would be cleaner, and a node takes six seconds of a processor to start.
    """
    return _breakable_rabbitmq.start()


@pytest.fixture
def quiet_collector() -> Iterator[None]:
    """A garbage collector that calls nobody back: Hypothesis leaves a callback behind, and an interrupt that falls into
    it comes out as a warning.
    """
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    yield
    gc.callbacks[:] = callbacks


@pytest.fixture
def queue_name() -> str:
    """A queue that no other test uses."""
    return f"queue-{next(_numbers)}"


# Bad brokers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens."""
    with listeners.closed() as port:
        yield port


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that takes connections and never answers."""
    with listeners.black_hole() as port:
        yield port


@pytest.fixture
def redis_proxy(redis_server) -> Iterator[Proxy]:
    """A wire to the Redis of the run that can be cut, muted and slowed down."""
    with Proxy(redis_server.port) as proxy:
        yield proxy


# Dispatchers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def remembering() -> Iterator[Dispatcher]:
    """A dispatcher with one pool, in a process whose recorder has nothing in it yet."""
    recorder.renew()
    with Dispatcher(policy=parse(ONE_POOL)) as made:
        yield made
    recorder.keep(KEPT)
    recorder.renew()


# Applications ----------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch) -> Iterator[Callable[..., Project]]:
    """Writes a module with tasks into a folder: `project(source, broker_url=…)`.

    Its name is new each time, so that it can be imported here without meeting another test's.
    """
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def make(
        source: str,
        *,
        name: str | None = None,
        broker_url: str | None = None,
        result_backend: str | None = None,
        folder: Path = tmp_path,
    ) -> Project:
        made.append(name or f"shop{next(_numbers)}")
        return write(folder, made[-1], source, broker_url=broker_url, result_backend=result_backend)

    yield make
    for name in made:
        sys.modules.pop(name, None)
