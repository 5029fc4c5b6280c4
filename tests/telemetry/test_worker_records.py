"""What a Celery worker's recorder and metrics know of the calls that ran there."""

from __future__ import annotations

import json

import pytest

from dispatch._clock import ticks, wall
from dispatch._outcome import Failure
from dispatch._recorder import recorder
from dispatch.telemetry.calls import recorded
from dispatch.telemetry.messages import ran
from telemetry.handmade import DONE, SPEC, a_call, send

TASKS = """
import dispatch
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from dispatch.telemetry.calls import recorded

app = dispatch.celery_app()
dispatch.telemetry.setup(service="shop")
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))

@dispatch.task
def double(number: int) -> int:
    return 2 * number

@dispatch.task(retry=dispatch.Retry(attempts=2, backoff="10ms"))
def fail() -> None:
    raise LookupError("no")

@dispatch.task
def remembered() -> list:
    return [
        [each.call_id, each.task.rpartition(".")[2], each.destination, each.transport, each.rule, each.error,
         each.attempts, each.wait_us is not None, each.run_us is not None, each.overhead_us, each.trace_id]
        for each in recorded()
    ]

@dispatch.task
def completed() -> int:
    points = 0
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == "dispatch.calls.completed":
                    points += sum(point.value for point in metric.data.data_points)
    return points
"""

PROGRAM = """
import json, {name} as shop
def run(task, *args):
    handle = task.options(only="celery").delay(*args)
    return handle.id, handle.exception(timeout=30) or handle.result()
ids = [run(shop.double, 4)[0], run(shop.fail)[0]]
print(json.dumps([ids, run(shop.remembered)[1], run(shop.completed)[1]]))
"""


def test_a_worker_remembers_the_calls_that_it_ran(project, redis_url):
    """Where they came from, how long they waited and ran, how they ended; an attempt that is repeated is no end."""
    shop = project("", broker_url=redis_url)
    (shop.folder / f"{shop.name}.py").write_text(TASKS)
    environment = {"DISPATCH_TRACE_DIR": str(shop.folder / "traces")}
    with shop.worker(pool="solo", concurrency=1, env=environment):
        said = shop.run(PROGRAM.format(name=shop.name), env=environment).stdout
    ids, calls, completed = json.loads(said.splitlines()[-1])

    assert ids == [each[0] for each in calls]
    assert [["double", "queue", "celery", None, 1], ["fail", "queue", "celery", "LookupError", 2]] == [
        [*each[1:4], *each[5:7]] for each in calls
    ]
    assert {"otherwise"} == {each[4] for each in calls}
    assert [[True, True, None]] * 2 == [each[7:10] for each in calls]
    assert all(len(each[10]) == 32 for each in calls)
    assert 3 == completed  # `remembered` too


@pytest.fixture
def headers(nobody_listens):
    """What a message carries."""
    recorder.renew()
    yield send(a_call())
    recorder.renew()


def leave(headers, outcome=DONE, **changes):
    now = ticks()
    words = {"call_id": "7", "durability": "durable", "attempt": 1, "taken": now - 3_000, "started": now - 1_000}
    ran(SPEC, headers, outcome, execution=None, **{**words, **changes})
    return recorded()[-1]


def test_the_decision_is_what_the_headers_say(headers):
    """And the durability is the call's."""
    call = leave(headers)
    assert ("7", "fast", "celery", "otherwise", "durable") == (
        call.call_id, call.destination, call.transport, call.rule, call.durability,
    )  # fmt: skip
    assert (None, None) == (call.overhead_us, call.actual_start_us)  # what the caller alone knows


def test_a_message_of_somebody_else_s_has_no_decision(headers):
    """Canvas, beat, send_task: it is remembered by its task and its times."""
    call = leave({})
    assert (SPEC.name, None, None, None) == (call.task, call.destination, call.rule, call.wait_us)
    assert call.run_us > 0


def test_a_sender_whose_clock_is_ahead_has_made_nobody_wait_less_than_not_at_all(headers):
    """Two machines, two clocks."""
    assert 0.0 == leave({**headers, "dispatch-sent-ns": str(wall() + 10**12)}).wait_us


def test_what_is_hostile_is_no_fault(headers, failures):
    """A message may carry anything."""
    call = leave({"dispatch-route": "\x00" * 10, "dispatch-sent-ns": "-1"}, Failure(OSError()), taken="soon")
    assert ("OSError", 0.0) == (call.error, call.start_us)
    assert 0 == failures()
