"""What calls took to start, beside what was predicted: from spans to one row for each destination."""

from __future__ import annotations

import pytest

from dispatch._clock import wall
from dispatch._outcome import Failure
from dispatch.telemetry._reading.histogram import ERROR
from dispatch.telemetry.exporter import JsonLinesExporter
from dispatch.telemetry.traces import read, starts
from telemetry.handmade import QUEUE, a_call, a_record, decision, receive, run, send

BUDGETED = {"latency_budget_ns": 10_000_000, "predicted_start_ns": 60_000}


@pytest.fixture
def written(spans, tmp_path):
    """The calls in the files, after the spans of the test were written to one."""

    def write():
        exporter = JsonLinesExporter(tmp_path)
        exporter.export(spans.finished)
        exporter.shutdown()
        return list(read(tmp_path).calls())

    return write


def test_a_local_call_tells_how_long_it_took_to_start_and_what_was_predicted(written):
    """From the decision to the first line; the prediction only where a budget ranked."""
    call, plain = a_call(made=decision(**BUDGETED)), a_call()
    run(call)
    run(plain)

    first, second = written()
    assert (60.0, 10_000.0) == (first.predicted_start_us, first.latency_budget_us)
    assert (call.started - call.decided) / 1e3 == pytest.approx(first.actual_start_us, rel=0.5)
    assert (None, None) == (second.predicted_start_us, second.latency_budget_us)
    assert second.actual_start_us is not None


def test_a_worker_that_is_quicker_than_delay_returns_is_not_counted_against(written):
    """It starts while the caller is still on its way back, which is no wait."""
    call = a_call()
    call.taken = call.decided + 1_000
    call.sent = call.decided + 900_000_000
    run(call)

    [record] = written()
    assert record.enqueue_us == 900_000.0
    assert record.actual_start_us < 900_000.0


def test_through_celery_the_wait_begins_with_the_message(written):
    """Before the broker has answered; so publishing is not counted twice."""
    call = a_call(made=QUEUE)
    headers = send(call) | {"dispatch-sent-ns": str(wall() - 40_000_000)}
    receive(headers, call.id)

    [record] = written()
    assert record.serialize_us + record.wait_us + record.start_us == record.actual_start_us
    assert 40_000 <= record.actual_start_us


def test_where_two_clocks_contradict_each_other_nothing_is_said_of_the_start(written):
    """The wait of 0 that stands in the span is none."""
    call = a_call(made=QUEUE)
    receive(send(call) | {"dispatch-sent-ns": str(wall() + 60_000_000_000)}, call.id)

    [record] = written()
    assert (0.0, None) == (record.wait_us, record.actual_start_us)


def test_a_repeated_call_is_judged_by_its_first_attempt(written):
    """The second had a pause before it."""
    call = a_call(made=QUEUE)
    headers = send(call)
    receive(headers, call.id, outcome=Failure(ValueError("again")))
    receive(headers | {"dispatch-sent-ns": str(wall() - 10**12)}, call.id, attempt=2)

    [record] = written()
    assert record.actual_start_us < 10**9


def a_start(destination="fast", *, start=None, predicted=None, budget=None, error=None):
    return a_record(
        destination, actual_start_us=start, predicted_start_us=predicted, latency_budget_us=budget, error=error
    )


def test_errors_are_what_it_took_less_what_was_predicted():
    """A hundred calls, predicted to take 50 each."""
    [row] = starts(a_start(start=float(n), predicted=50.0) for n in range(1, 101))

    assert (100, 100) == (row.started, row.predicted)
    assert (50.0, 99.0) == pytest.approx((row.start_median_us, row.start_p99_us), rel=ERROR)
    assert 50.0 == row.predicted_median_us
    errors = (row.error_p10_us, row.error_median_us, row.error_p90_us, row.error_p99_us)
    assert (-40.0, 0.0, 40.0, 49.0) == pytest.approx(errors, rel=ERROR)


def test_each_destination_is_a_row_and_the_busiest_comes_first():
    """Calls that nobody took among them; those that have not started have no part in the times."""
    first, second, third = starts(
        [
            a_start(None, error="NotAccepted"),
            *[a_start("queue")] * 2,
            *[a_start("fast", start=20.0, budget=budget) for budget in (10.0, 20.0, None)],
        ]
    )

    assert ("fast", 3, 0, 3, 1) == (first.destination, first.calls, first.failed, first.started, first.late)
    assert ("queue", 2, 0, None) == (second.destination, second.calls, second.started, second.start_median_us)
    assert (None, 1, 1) == (third.destination, third.calls, third.failed)
    assert (0, None, None) == (first.predicted, first.error_median_us, first.predicted_median_us)


def test_nothing_is_no_rows():
    """And no division by zero."""
    assert [] == starts([])
