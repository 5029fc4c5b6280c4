"""How many: every call is counted once for each thing that has happened to it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from timeit import repeat

import pytest
from opentelemetry.sdk.metrics.export import AggregationTemporality

from dispatch._call import Call
from dispatch._ids import here
from dispatch._outcome import Success
from dispatch._recorder import recorder
from dispatch._registry import TaskSpec
from dispatch.errors import (
    CallCancelled,
    CallExpired,
    DestinationFull,
    NotAccepted,
    NotConfigured,
    OutcomeUnknown,
    PassedOver,
)
from dispatch.telemetry._metrics._table import MOST
from telemetry.handmade import SPEC, decision
from telemetry.metered import CELERY, NOT_RUN, Readings, a_record, end, from_a_message, meters_in_place, note

DISPATCHED, COMPLETED = "dispatch.calls.dispatched", "dispatch.calls.completed"
REJECTED, FALLBACKS = "dispatch.calls.rejected", "dispatch.calls.fallbacks"

FAST = {"dispatch.task.name": "shop.resize", "dispatch.destination": "fast", "dispatch.transport": "local"}
QUEUE = {**FAST, "dispatch.destination": "queue", "dispatch.transport": "celery"}


def told(readings, name):
    """Each combination of attributes, with its value."""
    return [(dict(point.attributes), point.value) for point in readings.points(name)]


def test_a_local_call_is_dispatched_and_completed(readings):
    """And nothing else."""
    for _ in range(3):
        end()

    assert [(FAST, 3)] == told(readings, DISPATCHED)
    assert [(FAST, 3)] == told(readings, COMPLETED)
    assert [] == told(readings, REJECTED)
    assert [] == told(readings, FALLBACKS)


def test_a_call_that_failed_says_of_what(readings):
    """By the class; that it was dispatched is no failure."""
    end(error=ValueError)
    end()

    assert [(FAST, 2)] == told(readings, DISPATCHED)
    assert [({**FAST, "error.type": "ValueError"}, 1), (FAST, 1)] == told(readings, COMPLETED)


def test_a_call_that_was_given_up_before_it_ran_is_completed_too(readings):
    """Else what is under way would grow for ever."""
    end(error=CallExpired, **NOT_RUN)
    end(error=CallCancelled, **NOT_RUN)
    end(error=asyncio.CancelledError)

    assert 3 == readings.value(DISPATCHED)
    assert 1 == readings.value(COMPLETED, error="CallExpired")
    assert 2 == readings.value(COMPLETED, error="cancelled")


def test_a_call_that_has_left_is_dispatched_and_completed_where_it_runs(readings):
    """Two processes, as it is for real, are two records."""
    end(decision=CELERY, **NOT_RUN)
    assert ([(QUEUE, 1)], []) == (told(readings, DISPATCHED), told(readings, COMPLETED))

    note(from_a_message(error=KeyError))
    assert [(QUEUE, 1)] == told(readings, DISPATCHED)
    assert [({**QUEUE, "error.type": "KeyError"}, 1)] == told(readings, COMPLETED)


def test_a_message_that_says_nothing_of_a_decision_is_counted_by_its_task(readings):
    """Of a beat, or a canvas: it has run."""
    note(from_a_message(decision=None))

    assert [({"dispatch.task.name": "shop.resize"}, 1)] == told(readings, COMPLETED)
    assert [] == told(readings, REJECTED)


def test_a_call_that_ran_from_the_disk_was_dispatched_when_it_was_spooled(readings):
    """Whoever runs it has not decided: that is how it is told from one that was made just now."""
    disk = decision(destination="disk", transport="spool", durability="durable")
    end(decision=disk, **NOT_RUN)
    end(decided=0)

    assert [("disk", 1)] == [(said["dispatch.destination"], count) for said, count in told(readings, DISPATCHED)]
    assert [(FAST, 1)] == told(readings, COMPLETED)


@pytest.mark.parametrize("error", [NotAccepted, DestinationFull, NotConfigured])
def test_a_call_that_nobody_took_is_rejected(readings, error):
    """It has no destination, also where one was tried last, and none when there was no decision."""
    end(error=error, sent=0, **NOT_RUN)
    end(error=error, decision=None, sent=0, **NOT_RUN)

    assert [({"dispatch.task.name": "shop.resize", "error.type": error.__name__}, 2)] == told(readings, REJECTED)
    assert [] == told(readings, DISPATCHED)
    assert [] == told(readings, COMPLETED)


def test_a_task_that_ran_into_a_full_pool_itself_has_run(readings):
    """The error is that of a call that it made."""
    end(error=DestinationFull)

    assert 1 == readings.value(COMPLETED, error="DestinationFull")
    assert [] == told(readings, REJECTED)


def test_a_call_whose_outcome_is_unknown_may_have_been_dispatched(readings):
    """It says so."""
    end(decision=CELERY, error=OutcomeUnknown, **NOT_RUN)

    assert [({**QUEUE, "error.type": "OutcomeUnknown"}, 1)] == told(readings, DISPATCHED)
    assert [] == told(readings, REJECTED)


def test_a_fallback_says_who_took_the_call_and_why_the_first_one_did_not(readings):
    """Of several that were passed over, the first was the one that the rule wanted."""
    passed = (PassedOver("queue", "breaker_open"), PassedOver("cpu", "full"))
    end(decision=decision(passed_over=passed))
    end()

    assert [({**FAST, "dispatch.passed_over.why": "breaker_open"}, 1)] == told(readings, FALLBACKS)
    assert [(FAST, 2)] == told(readings, DISPATCHED)


def test_a_fallback_is_counted_by_whoever_made_the_call_alone(readings):
    """The worker's record may name who was passed over, too."""
    elsewhere = decision(destination="queue", transport="celery", passed_over=(PassedOver("fast", "full"),))
    end(decision=elsewhere, **NOT_RUN)
    note(from_a_message(decision=elsewhere))

    assert 1 == readings.value(FALLBACKS)


def test_a_call_is_counted_before_its_caller_hears_of_its_end(readings):
    """Whoever has the result and then collects finds it."""
    call = Call(SPEC, (), {}, None, decision(), here.space, 1, 1, 2, started=3, ended=4)
    seen = []
    call.tell(lambda: seen.append(readings.value(COMPLETED)))

    call.settle(Success(None))

    assert [1] == seen


def test_no_count_is_lost_between_threads(readings):
    """Four of them count the same cell, and the interpreter changes between them as often as it can."""
    record, kept = a_record(), sys.getswitchinterval()

    def work():
        for _ in range(20_000):
            recorder.note(record)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        looks = [readings.value(COMPLETED) for _ in range(5)]
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(kept)

    assert looks == sorted(looks)
    assert 80_000 == readings.value(COMPLETED) == readings.value(DISPATCHED)


def test_looking_does_not_count(readings):
    """Nor does it matter who else looks."""
    end()

    assert [1, 1, 1] == [readings.value(DISPATCHED) for _ in range(3)]


def test_a_reader_of_differences_gets_differences():
    """The SDK's conversion, of sums that only grow."""
    from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    readings = Readings()
    readings.reader = InMemoryMetricReader(preferred_temporality={ObservableCounter: AggregationTemporality.DELTA})
    readings.provider = MeterProvider([readings.reader], shutdown_on_exit=False)
    with meters_in_place(readings.provider):
        end()
        assert 1 == readings.value(COMPLETED)
        end()
        end()
        assert 2 == readings.value(COMPLETED)


def test_combinations_are_bounded_and_what_is_beyond_is_counted_together(readings):
    """A program that makes exception classes without end fills neither its memory nor a dashboard."""
    for number in range(MOST + 50):
        end(error=type(f"Error{number}", (Exception,), {}))
    end(error=type("Error0", (Exception,), {}))

    overflow = {"otel.metric.overflow": True}
    assert MOST + 1 == len(readings.points(COMPLETED))
    assert 51 == readings.value(COMPLETED, **overflow)
    assert MOST + 51 == readings.value(COMPLETED)
    assert MOST + 51 == readings.value(DISPATCHED)


def test_two_classes_of_one_name_are_one_row(readings):
    """Attributes are text."""
    for _ in range(2):
        end(error=type("Twin", (Exception,), {}))

    assert [({**FAST, "error.type": "Twin"}, 2)] == told(readings, COMPLETED)


def test_a_record_that_cannot_be_counted_is_a_failure_of_telemetry_and_no_one_s_else(readings, failures):
    """The call that ends goes on."""
    end(spec=TaskSpec(name=[], function=len, signature=len, requirements=SPEC.requirements))

    assert 1 == failures()
    assert [] == told(readings, COMPLETED)


def test_a_forked_child_counts_from_zero(readings):
    """What the parent has counted is the parent's to tell, and the child's counts are not in the parent's."""
    end()
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        end()
        end()
        os.write(theirs, str(readings.value(DISPATCHED)).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert b"2" == os.read(mine, 10)
    assert 1 == readings.value(DISPATCHED)


def test_counting_costs_a_fraction_of_a_microsecond(readings):
    """A third of one on the machine that it was measured on; the bound leaves room for a busy one."""
    record = a_record()

    assert min(repeat(lambda: recorder.note(record), number=5000, repeat=10)) / 5000 < 3e-6
