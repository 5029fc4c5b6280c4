"""From spans to calls: one record each, and what each path costs."""

from __future__ import annotations

import pytest

from dispatch import telemetry
from dispatch._clock import ticks, wall
from dispatch._outcome import Failure, Success
from dispatch.errors import NotAccepted, PassedOver
from dispatch.settings import Settings
from dispatch.telemetry.exporter import JsonLinesExporter
from dispatch.telemetry.traces import percentiles, read
from telemetry.handmade import QUEUE, a_call, a_record, receive, run, send


@pytest.fixture
def written(spans, tmp_path):
    """The calls in the files, after the spans of the test were written to one."""

    def write():
        exporter = JsonLinesExporter(tmp_path)
        exporter.export(spans.finished)
        exporter.shutdown()
        return list(read(tmp_path).calls())

    return write


def test_a_local_call_is_one_record(written):
    """Its spans are two."""
    call = a_call(payload=4096)
    run(call, outcome=Success(1))

    [record] = written()
    assert ("shop.resize", call.id) == (record.task, record.call_id)
    assert ("fast", "local", "otherwise", "otherwise") == (
        record.destination,
        record.transport,
        record.rule,
        record.reason,
    )
    assert 4096 == record.payload_bytes
    assert record.overhead_us == pytest.approx(record.decide_us + record.serialize_us + record.enqueue_us)
    assert (call.taken - call.sent) / 1e3 == record.wait_us
    assert (call.ended - call.started) / 1e3 <= record.run_us
    assert (1, None) == (record.attempts, record.error)


@pytest.mark.parametrize("detail", ["compact", "full", "debug"])
def test_a_local_call_is_the_same_record_at_every_detail(written, detail):
    """But for the parts of its overhead: a single span has only their sum."""
    telemetry.follow(Settings(trace_detail=detail))
    call = a_call(payload=4096)
    run(call)

    [record] = written()
    assert ("shop.resize", call.id, "fast", "otherwise") == (
        record.task,
        record.call_id,
        record.destination,
        record.reason,
    )
    assert ("ephemeral", 4096, 2.0, 30.0) == (
        record.durability,
        record.payload_bytes,
        record.overhead_us,
        record.wait_us,
    )
    assert record.started_ns == pytest.approx(wall() - (ticks() - call.entered), abs=5e6)
    assert (detail == "compact") == (record.decide_us is None)


def test_a_call_through_celery_is_one_record_across_processes(written):
    """Found by its id, not by its place in the tree: others may have put spans between."""
    call = a_call(made=QUEUE)
    receive(send(call), call.id)

    [record] = written()
    assert ("queue", "celery", "durable") == (record.destination, record.transport, record.durability)
    assert record.wait_us is not None
    assert record.run_us is not None


def test_a_call_that_ran_twice_waited_until_its_first_run_and_ended_with_its_last(written):
    """A second delivery, of the same message."""
    call = a_call(made=QUEUE)
    headers = send(call)
    receive(headers, call.id, outcome=Failure(ValueError("again")))
    receive(headers, call.id, attempt=2)

    [record] = written()
    assert (2, None) == (record.attempts, record.error)


def test_a_body_that_raised_is_named(written):
    """By its error's type."""
    run(a_call(), outcome=Failure(ValueError("no such image")))

    [record] = written()
    assert "ValueError" == record.error


def test_a_refused_call_has_no_destination_and_says_who_passed_it_over(written):
    """And no price: it was never handed over."""
    telemetry.dispatched(a_call(), NotAccepted("shop.resize", (PassedOver("queue", "refused"),)))

    [record] = written()
    assert (None, "NotAccepted", ("queue:refused",)) == (record.destination, record.error, record.passed_over)
    assert (None, None, 0) == (record.overhead_us, record.wait_us, record.attempts)


def test_a_call_that_is_still_waiting_is_a_record_without_a_wait(written):
    """Its worker has not written yet, or never will."""
    send(a_call(made=QUEUE))

    [record] = written()
    assert record.overhead_us is not None
    assert (None, None) == (record.wait_us, record.worker)


def test_spans_of_others_are_no_calls(spans, written):
    """Even when they are called so."""
    with spans.tracer().start_as_current_span("dispatch parcels"):
        pass

    assert [] == written()


def a_wait(destination="fast", rule="otherwise", overhead=1.0, wait=2.0, error=None):
    return a_record(destination, rule=rule, overhead_us=overhead, wait_us=wait, error=error)


def test_percentiles_are_values_that_were_measured():
    """Of a hundred, the fiftieth and the ninety-ninth."""
    [summary] = percentiles(a_wait(overhead=float(n), wait=float(-n)) for n in range(1, 101))

    assert (100, 50.0, 99.0) == (summary.count, summary.overhead_median_us, summary.overhead_p99_us)
    assert (-51.0, -2.0) == (summary.wait_median_us, summary.wait_p99_us)


def test_each_destination_and_rule_is_a_row_and_the_busiest_comes_first():
    """Failures are counted; calls without a value have no part in the percentiles."""
    first, second = percentiles(
        [
            a_wait("queue", "must-survive", overhead=None, wait=None),
            a_wait("fast"),
            a_wait("fast", error="ValueError"),
        ]
    )

    assert ("fast", "otherwise", 2, 1) == (first.destination, first.rule, first.count, first.failed)
    assert ("queue", "must-survive", 1, 0) == (second.destination, second.rule, second.count, second.failed)
    assert (None, None) == (second.overhead_median_us, second.wait_p99_us)


def test_nothing_is_no_rows():
    """And no division by zero."""
    assert [] == percentiles([])
