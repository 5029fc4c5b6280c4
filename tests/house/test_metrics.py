"""Metrics of real calls, and of what real destinations hold."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

import pytest
import redis

import dispatch
from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.spool import Receipt
from house.policies import ON_CALLERS_LOOP, ONE_POOL, RUN_FROM_DISK
from servers.patience import eventually
from telemetry.handmade import Spans, provider_in_place
from telemetry.metered import Readings, meters_in_place

DISPATCHED, COMPLETED = "dispatch.calls.dispatched", "dispatch.calls.completed"
REJECTED, FALLBACKS = "dispatch.calls.rejected", "dispatch.calls.fallbacks"
CALL, WAIT, TASK = "dispatch.call.duration", "dispatch.queue.wait.duration", "dispatch.task.duration"

NARROW = """
version: 1
destinations:
  fast: {transport: local, workers: 1, capacity: 2, max_bytes: 1MiB, on_full: next}
  wide: {transport: local, workers: 1, capacity: 1, on_full: reject}
defaults: {durability: ephemeral}
otherwise: {route_to: fast, fallback: [wide]}
"""

PROCESSES = """
version: 1
destinations:
  cpu: {transport: local, runner: process, workers: 1}
defaults: {durability: ephemeral}
otherwise: {route_to: cpu}
"""


@pytest.fixture
def readings():
    """An SDK that takes metrics, in place."""
    readings = Readings()
    with meters_in_place(readings.provider):
        yield readings
    readings.provider.shutdown()


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


@dispatch.task(name="metrics.double")
def double(number: int) -> int:
    return 2 * number


@dispatch.task(name="metrics.decline")
def decline() -> None:
    raise LookupError("no such order")


@dispatch.task(name="metrics.adouble")
async def adouble(number: int) -> int:
    return 2 * number


@dispatch.task(name="metrics.keep", durability="durable")
def keep(number: int) -> int:
    return number


def stop(gate: threading.Event, started: threading.Semaphore):
    @dispatch.task(name="metrics.stop")
    def wait_here(_text: str = "") -> None:
        started.release()
        assert gate.wait(10)

    return wait_here


# Calls -----------------------------------------------------------------------------------------------------------


def test_calls_of_threads_are_counted_and_measured(dispatcher, readings):
    """Each is counted by the time its result is there."""
    dispatcher(ONE_POOL)
    for handle in [double.delay(number) for number in range(20)]:
        handle.result(timeout=5)
    assert decline.delay().exception(timeout=5) is not None

    assert 20 == readings.value(DISPATCHED, task="metrics.double", destination="fast", transport="local")
    assert 20 == readings.value(COMPLETED, task="metrics.double")
    assert 1 == readings.value(COMPLETED, task="metrics.decline", error="LookupError")
    assert [20, 21, 20] == [
        readings.count(CALL, task="metrics.double"),
        readings.count(WAIT, destination="fast"),
        readings.count(TASK, task="metrics.double"),
    ]
    assert 0 == readings.value("dispatch.telemetry.failures") - dispatch.telemetry.failures()


def test_an_exemplar_leads_to_the_span_of_the_run(dispatcher, readings):
    """From a slow bucket to the call that was slow."""
    spans = Spans()
    with provider_in_place(spans.provider):
        dispatcher(ONE_POOL)
        double.delay(1).result(timeout=5)
        found = readings.metrics()

    run = spans["execute"].get_span_context()
    for name in (CALL, WAIT, TASK):
        [point] = found[name]
        [exemplar] = point.exemplars
        assert (run.trace_id, run.span_id) == (exemplar.trace_id, exemplar.span_id)


def test_coroutines_are_counted_and_measured(dispatcher, readings):
    """On their caller's loop."""
    dispatcher(ON_CALLERS_LOOP)

    async def several():
        return await asyncio.gather(*[await adouble.adelay(number) for number in range(5)])

    assert [0, 2, 4, 6, 8] == asyncio.run(several())

    assert (5, 5) == (readings.value(COMPLETED, task="metrics.adouble"), readings.count(TASK, task="metrics.adouble"))


def test_calls_of_worker_processes_are_counted_here(dispatcher, readings, project):
    """Whoever has sent them to his own child tells of them; the child has no meter."""
    dispatcher(PROCESSES)
    jobs = project("import dispatch\n@dispatch.task\ndef triple(number: int) -> int:\n    return 3 * number\n").load()

    assert 9 == jobs.triple.delay(3).result(timeout=20)

    assert 1 == readings.value(COMPLETED, destination="cpu", transport="local")
    assert 1 == readings.count(TASK, destination="cpu")


def test_a_full_destination_makes_fallbacks_and_then_rejections(dispatcher, readings, gate):
    """Who took the call instead, and why; and in the end nobody."""
    dispatcher(NARROW)
    started = threading.Semaphore(0)
    task = stop(gate, started)
    handles = [task.delay()]
    assert started.acquire(timeout=5)
    handles += [task.delay(), task.delay()]  # two wait
    handles.append(task.delay())
    assert started.acquire(timeout=5)
    handles.append(task.delay())
    with pytest.raises(dispatch.DestinationFull):
        task.delay()
    gate.set()
    for handle in handles:
        handle.result(timeout=5)

    assert 3 == readings.value(DISPATCHED, destination="fast")
    assert 2 == readings.value(DISPATCHED, destination="wide")
    assert 2 == readings.value(FALLBACKS, destination="wide", why="full")
    assert 1 == readings.value(REJECTED, task="metrics.stop", error="DestinationFull")


# What destinations hold ------------------------------------------------------------------------------------------


def test_gauges_say_how_full_a_pool_is(dispatcher, readings, gate):
    """Calls and bytes that wait, for how long, and who is at work."""
    dispatcher(NARROW)
    started = threading.Semaphore(0)
    task = stop(gate, started)
    handles = [task.delay()]
    assert started.acquire(timeout=5)
    assert [] == readings.points("dispatch.queue.age", destination="fast")
    handles.append(task.delay("x" * 1000))
    handles.append(task.apply_async(countdown=60))

    found = readings.metrics()

    def value(name):
        [point] = [each for each in found[name] if each.attributes["dispatch.destination"] == "fast"]
        assert {"dispatch.destination": "fast", "dispatch.transport": "local"} == dict(point.attributes)
        return point.value

    assert (1, 2, 1) == tuple(value(f"dispatch.queue.{each}") for each in ("size", "limit", "delayed"))
    assert (1, 1, 0) == tuple(value(f"dispatch.workers.{each}") for each in ("busy", "limit", "abandoned"))
    assert 1000 <= value("dispatch.queue.payload.size") <= 1200
    assert 1 << 20 == value("dispatch.queue.payload.limit")
    assert 0 < value("dispatch.queue.age") < 10
    handles.pop().cancel()
    gate.set()
    for handle in handles:
        handle.result(timeout=5)


def test_each_collection_looks_anew(dispatcher, readings, gate):
    """However soon it comes after the last one."""
    dispatcher(NARROW)
    started = threading.Semaphore(0)
    before = readings.value("dispatch.workers.busy")
    handle = stop(gate, started).delay()
    assert started.acquire(timeout=5)

    assert (0, 1) == (before, readings.value("dispatch.workers.busy"))

    gate.set()
    handle.result(timeout=5)


def test_dispatchers_are_summed_up_and_those_that_are_shut_down_are_gone(readings):
    """Two policies may each have a destination of the same name."""
    listened = "dispatch.workers.limit"
    with Dispatcher(policy=parse(ONE_POOL)) as one:
        double.using(one).delay(1).result(timeout=5)
        with Dispatcher(policy=parse(ONE_POOL)):
            assert 4 == readings.value(listened, destination="fast")
        assert 2 == readings.value(listened, destination="fast")

    assert [] == readings.points(listened)


def test_the_process_tells_its_memory(readings):
    """Also without any dispatcher."""
    assert 1 << 20 < readings.value("dispatch.process.memory") < 1 << 40


def test_a_destination_whose_figures_cannot_be_had_hides_no_other_metric(dispatcher, readings, monkeypatch):
    """A callback never raises; that there is something wrong is counted."""
    one = dispatcher(ONE_POOL)
    double.delay(1).result(timeout=5)
    before = dispatch.telemetry.failures()

    def broken():
        raise RuntimeError("no figures")

    monkeypatch.setattr(one.destinations["fast"], "glance", broken)
    found = readings.metrics()

    assert "dispatch.queue.size" not in found
    assert {"dispatch.process.memory", COMPLETED} <= set(found)
    assert dispatch.telemetry.failures() > before


# The disk --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The default dispatcher, with a spool whose calls nobody runs."""
    settings = Settings(application="kitchen", spool_dir=tmp_path / "state", shutdown_grace="5s")
    with Dispatcher(policy=parse(RUN_FROM_DISK), settings=settings) as one:
        monkeypatch.setattr(_default._default, "dispatcher", one)
        yield one


def test_a_call_on_disk_is_dispatched_to_it_and_completed_where_it_runs(kept, readings):
    """Two hand-overs of one call are not two calls."""
    assert 1 == keep.delay(1).result(timeout=10)

    assert 1 == readings.value(DISPATCHED, task="metrics.keep") == readings.value(DISPATCHED, transport="spool")
    assert 1 == readings.value(COMPLETED, task="metrics.keep") == readings.value(COMPLETED, transport="local")


def test_gauges_say_what_lies_on_disk(kept, readings):
    """Calls by their state, bytes, and the age of the oldest."""
    keep.apply_async((1,), countdown=60)

    assert {"waiting": 1, "leased": 0, "dead": 0} == {
        point.attributes["dispatch.spool.state"]: point.value for point in readings.points("dispatch.spool.calls")
    }
    assert 0 < readings.value("dispatch.spool.size", destination="disk") < 10_000
    assert 1 << 30 == readings.value("dispatch.spool.limit")
    assert 0 < readings.value("dispatch.spool.age") < 30
    assert [] == readings.points("dispatch.queue.size", destination="disk")


def test_a_disk_that_does_not_answer_is_shown_as_it_was(kept, readings, gate):
    """Whoever collects waits a tenth of a second for it, and every other figure is there."""
    keep.apply_async((1,), countdown=60)
    assert 1 == readings.value("dispatch.spool.calls", spool="waiting")
    spool = kept.destinations["disk"].spool
    begun = threading.Event()

    def hang(_connection):
        begun.set()
        gate.wait(20)

    spool._writer.submit(Receipt(hang, patience=20.0, writes=False))
    assert begun.wait(5)
    started = monotonic()
    found = readings.metrics()
    took = monotonic() - started
    gate.set()

    assert [1] == [
        point.value for point in found["dispatch.spool.calls"] if point.attributes["dispatch.spool.state"] == "waiting"
    ]
    assert "dispatch.workers.limit" in found
    assert took < 3.0


# Brokers ---------------------------------------------------------------------------------------------------------

SHOP = """
import dispatch

app = dispatch.celery_app()

@dispatch.task(latency_budget="20s")
def resize(number: int) -> int:
    return number

@dispatch.task(durability="durable")
def charge(number: int) -> int:
    return number
"""

POLICY = """
version: 1
destinations:
  queue: {transport: celery, publish_deadline: 20s, breaker: {failures: 2, open_for: 1h, max_open: 1h}}
  fast: {transport: local, workers: 1}
defaults: {durability: ephemeral}
otherwise: {route_to: queue, fallback: [fast]}
"""


@pytest.fixture
def shop(project, monkeypatch):
    """Makes the module and the default dispatcher for a broker."""
    made = []

    def make(url):
        monkeypatch.setenv("DISPATCH_BROKER_URL", url)
        written = project(SHOP, broker_url=url)
        made.append(Dispatcher(policy=parse(POLICY), settings=Settings(broker_url=url, shutdown_grace="5s")))
        monkeypatch.setattr(_default._default, "dispatcher", made[-1])
        return written, written.load()

    yield make
    for each in made:
        each.shutdown()


@pytest.mark.slow
def test_calls_through_a_broker_are_counted_as_they_leave_and_their_predictions_judged(shop, redis_url, readings):
    """When the result is read it is known how long it took to start."""
    written, module = shop(redis_url)
    with written.worker(pool="threads", concurrency=1):
        assert 1 == module.resize.delay(1).result(timeout=20)
        assert 2 == module.charge.delay(2).result(timeout=20)

    assert 2 == readings.value(DISPATCHED, destination="queue", transport="celery")
    assert 2 == readings.count(CALL, destination="queue")
    assert 1 == readings.count("dispatch.prediction.late", destination="queue") + readings.count(
        "dispatch.prediction.early", destination="queue"
    )


def test_gauges_say_what_the_ledger_keeps(shop, redis_url, readings):
    """The sweeper counts while it is there anyway; nobody asks Redis for a metric."""
    _, module = shop(redis_url)
    assert [] == readings.points("dispatch.ledger.entries")
    module.charge.delay(1)
    module.charge.apply_async((2,), countdown=60)

    def counted():
        return {
            point.attributes["dispatch.ledger.state"]: point.value
            for point in readings.points("dispatch.ledger.entries", destination="queue")
        }

    assert {"pending": 2, "overdue": 0, "dead": 0} == eventually(
        lambda: (found := counted()).get("pending") == 2 and found, within=15.0
    )
    with redis.Redis.from_url(redis_url) as client:
        assert 2 == client.zcard("dispatch:due")
    assert [0] == [point.value for point in readings.points("dispatch.breaker.state", destination="queue")]


def test_gauges_say_whether_the_broker_is_left_alone(shop, closed_port, readings):
    """Open is 2; the calls go elsewhere, and the counters say why."""
    _, module = shop(f"redis://127.0.0.1:{closed_port}/0")
    eventually(lambda: module.resize.delay(1).result(timeout=20) and readings.value("dispatch.breaker.state") == 2)
    module.resize.delay(1).result(timeout=20)

    assert readings.value(FALLBACKS, destination="fast", why="refused") >= 1
    assert readings.value(FALLBACKS, destination="fast", why="breaker_open") >= 1
