"""How long: each measurement where it belongs, fine enough to see microseconds, with the trace of its call."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.trace import SpanContext, TraceFlags

from dispatch._clock import ticks
from dispatch.settings import Settings
from dispatch.telemetry import follow, started
from dispatch.telemetry._meter import meter
from dispatch.telemetry._metrics import _backlog
from dispatch.telemetry._metrics._table import METRICS, MOST
from servers.patience import eventually
from telemetry.handmade import a_call, decision
from telemetry.metered import CELERY, NOT_RUN, Readings, a_record, end, from_a_message, meters_in_place, note

CALL, WAIT, TASK = "dispatch.call.duration", "dispatch.queue.wait.duration", "dispatch.task.duration"
LATE, EARLY = "dispatch.prediction.late", "dispatch.prediction.early"
DROPPED = "dispatch.telemetry.records.dropped"

PLACE = {"dispatch.destination": "fast", "dispatch.transport": "local"}
FAST = {"dispatch.task.name": "shop.resize", **PLACE}


def only(readings, name):
    [point] = readings.points(name)
    return point


@pytest.fixture
def no_thread(monkeypatch):
    """Nobody empties the backlog but those who collect."""
    monkeypatch.setattr(_backlog.Backlog, "start", lambda self: None)


def test_a_local_call_is_measured_where_it_spent_its_time(readings):
    """Handing over 3 µs, waiting 10, running 100: in seconds."""
    end()

    assert pytest.approx(3e-6) == only(readings, CALL).sum
    assert pytest.approx(10e-6) == only(readings, WAIT).sum
    assert pytest.approx(100e-6) == only(readings, TASK).sum


def test_each_histogram_has_the_attributes_that_it_needs_and_no_others(readings):
    """What is not asked of it would only multiply its rows."""
    follow(Settings(metrics="all"))
    end(error=ValueError, payload=100)

    assert [FAST] == readings.attributes(CALL)
    assert [PLACE] == readings.attributes(WAIT)
    assert [{**FAST, "error.type": "ValueError"}] == readings.attributes(TASK)
    assert [{"dispatch.rule": "otherwise"}] == readings.attributes("dispatch.decision.duration")
    assert [PLACE] == readings.attributes("dispatch.payload.size")


def test_deciding_and_the_payload_are_measured_where_all_is(readings):
    """A microsecond; and a size only where somebody asked for it."""
    follow(Settings(metrics="all"))
    end(payload=100)
    end()

    assert pytest.approx(2e-6) == only(readings, "dispatch.decision.duration").sum
    assert (1, 100) == (only(readings, "dispatch.payload.size").count, only(readings, "dispatch.payload.size").sum)


def test_a_call_that_has_left_is_measured_by_its_sender_and_its_worker_each_for_their_part(readings):
    """The sender knows what it paid, the worker how long it took."""
    end(decision=CELERY, **NOT_RUN)
    assert (1, 0, 0) == tuple(readings.count(name) for name in (CALL, WAIT, TASK))

    note(from_a_message())
    assert (1, 1, 1) == tuple(readings.count(name) for name in (CALL, WAIT, TASK))
    assert [{"dispatch.destination": "queue", "dispatch.transport": "celery"}] == readings.attributes(WAIT)


def test_a_worker_that_does_not_know_when_the_message_was_sent_measures_no_wait(readings):
    """And its task all the same, also without a decision in the message."""
    note(from_a_message(sent=0, decision=None))

    assert 0 == readings.count(WAIT)
    assert [{"dispatch.task.name": "shop.resize"}] == readings.attributes(TASK)


def test_a_worker_that_was_quicker_than_its_caller_s_clock_measures_from_what_is_known(readings):
    """It ended the call before the caller had noted that it was sent."""
    end(sent=0)

    assert pytest.approx(13e-6) == only(readings, CALL).sum  # until it was taken
    assert pytest.approx(12e-6) == only(readings, WAIT).sum  # since it was decided


def test_a_delayed_call_waits_from_when_it_was_due(readings):
    """What was asked for is no wait."""
    record = a_record()
    note(replace(record, due=record.taken - 4_000))

    assert pytest.approx(4e-6) == only(readings, WAIT).sum


def test_a_call_from_the_disk_costs_no_caller_the_hours_that_it_lay_there(readings):
    """Nobody waited for it to be handed over."""
    end(decided=0, entered=ticks() - 3600 * 10**9, sent=0)

    assert (0, 0, 1) == tuple(readings.count(name) for name in (CALL, WAIT, TASK))


def test_a_call_that_never_ran_has_no_duration(readings):
    """Cancelled while it waited."""
    end(error=ValueError, **NOT_RUN)

    assert (1, 0, 0) == tuple(readings.count(name) for name in (CALL, WAIT, TASK))


class TestPredictions:
    """What was said of the start, less what came of it: one of two histograms has each call that was predicted."""

    @pytest.mark.parametrize(
        ("predicted", "name", "off"), [(3_000, LATE, 10e-6), (33_000, EARLY, 20e-6), (13_000, LATE, 0)]
    )
    def test_the_error_is_late_or_early(self, readings, predicted, name, off):
        """The start came 13 µs after the decision."""
        end(decision=decision(predicted_start_ns=predicted))

        assert pytest.approx(off) == only(readings, name).sum
        assert [PLACE] == readings.attributes(name)
        assert 1 == readings.count(LATE) + readings.count(EARLY)

    def test_a_call_without_a_prediction_is_in_neither(self, readings):
        """Nor one that its caller ran himself, nor another attempt."""
        said = decision(predicted_start_ns=1)
        end()
        end(decision=decision(predicted_start_ns=1, transport="inline"))
        end(decision=said, attempt=2)
        end(decision=said, error=ValueError, **NOT_RUN)

        assert 0 == readings.count(LATE) + readings.count(EARLY)

    def test_a_delayed_call_starts_late_when_it_starts_later_than_it_was_due(self, readings):
        """As its decision says afterwards."""
        record = a_record(decision=decision(predicted_start_ns=0))
        note(replace(record, due=record.started - 5_000))

        assert pytest.approx(5e-6) == only(readings, LATE).sum

    def test_a_celery_call_is_heard_of_with_its_result(self, readings):
        """Another process says when it began."""
        call = a_call(made=decision(transport="celery", destination="queue", predicted_start_ns=2_000_000))
        call.started = call.decided + 3_000_000

        started(call)

        assert pytest.approx(1e-3) == only(readings, LATE).sum
        assert "celery" == only(readings, LATE).attributes["dispatch.transport"]

    def test_without_a_provider_nothing_is_heard(self, failures):
        """As anywhere."""
        with meters_in_place(None):
            started(a_call())
        assert 0 == failures()


class TestExemplars:
    """From a slow bucket to a slow call."""

    SPAN = SpanContext(0xABCDEF, 0x1234, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def test_a_measurement_carries_the_trace_and_the_span_of_its_run(self, readings):
        """In the bucket that it fell into."""
        end(trace=self.SPAN)

        found = readings.metrics()
        for name in (CALL, WAIT, TASK):
            [exemplar] = found[name][0].exemplars
            assert (0xABCDEF, 0x1234) == (exemplar.trace_id, exemplar.span_id)

    def test_a_call_without_a_sampled_span_has_none(self, readings):
        """Whichever span is current where the metrics are collected."""
        from opentelemetry import trace

        end()
        with trace.use_span(trace.NonRecordingSpan(self.SPAN)):
            assert () == tuple(only(readings, TASK).exemplars)


class TestBuckets:
    """Advice of ours, and the application's last word."""

    def test_the_boundaries_are_those_of_the_table(self, readings):
        """The SDK's own begin at 5 s."""
        follow(Settings(metrics="all"))
        end(payload=5, decision=decision(predicted_start_ns=0))
        end(decision=decision(predicted_start_ns=10**12))

        found = {
            name: points[0].explicit_bounds
            for name, points in readings.metrics().items()
            if hasattr(points[0], "explicit_bounds")
        }
        assert {name: metric.boundaries for name, metric in METRICS.items() if metric.kind == "histogram"} == found

    def test_microseconds_are_told_apart(self, readings):
        """A pool that hands over in 3 µs, and one that takes 30."""
        end()
        end(sent=a_record().entered + 30_000)

        assert 2 == sum(1 for count in only(readings, CALL).bucket_counts if count)

    def test_a_view_may_make_them_exponential(self):
        """Whatever an application prefers."""
        view = View(instrument_name="dispatch.*.duration", aggregation=ExponentialBucketHistogramAggregation())
        readings = Readings(views=[view])
        with meters_in_place(readings.provider):
            end()
            assert (1, 0) == (only(readings, TASK).count, only(readings, TASK).zero_count)
            assert hasattr(only(readings, TASK), "scale")


class TestTheBacklog:
    """Measuring takes ten times as long as counting, and is not the worker's work."""

    def test_whoever_collects_finds_every_call_that_has_ended(self, readings, no_thread):
        """Nobody else has looked by then."""
        for _ in range(500):
            end()

        assert 500 == readings.count(TASK)

    def test_between_collections_a_thread_records_what_waits(self, readings):
        """Else a minute's calls would have to find room."""
        for _ in range(100):
            end()

        eventually(lambda: not meter.books._backlog.waiting, within=5.0)
        assert 100 == readings.count(TASK)

    def test_the_worker_s_thread_records_nothing(self, readings, monkeypatch, no_thread):
        """It only leaves the record."""
        by = []
        monkeypatch.setattr(meter.books._backlog, "_record", lambda _: by.append(threading.current_thread()))
        worker = threading.Thread(target=end)
        worker.start()
        worker.join()
        assert [] == by

        readings.metrics()

        assert [threading.current_thread()] == by

    def test_what_finds_no_room_is_counted_and_in_no_histogram(self, readings, no_thread):
        """Memory is bounded; the counters are exact all the same."""
        record = a_record()
        for _ in range(_backlog.ROOM + 7):
            note(record)

        assert _backlog.ROOM + 7 == readings.value("dispatch.calls.completed")
        assert 7 == readings.value(DROPPED)
        assert _backlog.ROOM == readings.count(TASK)

    def test_a_rejected_call_takes_no_room(self, readings, no_thread):
        """There is nothing to measure."""
        from dispatch.errors import NotAccepted

        end(error=NotAccepted, sent=0, **NOT_RUN)

        assert 0 == len(meter.books._backlog.waiting)


def test_combinations_are_bounded_here_too(readings, no_thread):
    """As those of the counters."""
    for number in range(MOST + 5):
        end(error=type(f"Error{number}", (Exception,), {}))

    assert MOST + 1 == len(readings.points(TASK))
    assert 5 == readings.count(TASK, **{"otel.metric.overflow": True})
