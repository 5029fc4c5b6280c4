"""Calls at every detail and relation become the same records, in their trees."""

from __future__ import annotations

import pytest

from dispatch.telemetry.traces import read
from telemetry.written import LOCAL, QUEUE, SPOOL, a_span, compact, handed, local, of, queued, ran, write


@pytest.fixture
def reading(tmp_path):
    """What is read when these spans stand in a file."""

    def reading(*spans):
        write(tmp_path / "t.jsonl", *spans)
        return read(tmp_path)

    return reading


def names(trace):
    return [(len(path), span.name.split()[0]) for span, path in trace.walk()]


def told(record):
    """What is alike at every detail."""
    return (
        *(record.task, record.destination, record.rule, record.reason, record.durability, record.policy_version),
        *(record.started_ns, record.overhead_us, record.wait_us, record.start_us, record.run_us, record.total_us),
        *(record.attempts, record.error),
    )


@pytest.mark.parametrize("error", [None, "ValueError"])
def test_a_compact_local_call_is_the_record_of_a_full_one(reading, error):
    """Its one span begins with the body, and `delay` was called that much earlier; what most calls are goes without
    saying.
    """
    full, single = reading(*local("a-1", error=error), *compact("a-2", error=error)).calls()

    assert told(full) == told(single)
    assert (1.0, 55.0) == (full.decide_us, full.actual_start_us)
    # Of the overhead there is only the sum: what of it came after the decision is not known.
    assert (None, 50.0) == (single.decide_us, single.actual_start_us)


def test_what_a_compact_call_says_of_itself_holds(reading):
    """One that was pinned, and one that a rule sent."""
    pinned, by_rule = reading(*compact("a-1", reason="pinned"), *compact("a-2", rule="quick")).calls()

    assert ("pinned", "rule") == (pinned.reason, by_rule.reason)


def test_a_compact_call_through_celery_has_no_publish_and_is_the_same_record(reading):
    """Its `dispatch` is the producer's span."""
    traces = reading(*queued("a-1"), *queued("a-2", detail="compact"))
    full, single = traces.calls()

    assert told(full) == told(single)
    assert [(0, "dispatch"), (1, "process")] == names(list(traces)[1])


def test_a_retry_of_a_compact_call_is_an_attempt_and_no_call(reading):
    """Only the first carries what the caller paid."""
    [first] = compact("a-1", error="ValueError")

    [record] = reading(first, ran("a-1", start=900, parent=first, attempt=2)).calls()

    assert (2, 1, None) == (record.attempts, record.failed_attempts, record.error)
    assert 40.0 == record.wait_us


def test_a_run_in_a_trace_of_its_own_belongs_to_its_call(reading):
    """Joined by the call's id; the caller's trace alone knows nothing of it."""
    traces = reading(*queued("a-1", linked=True))
    made, runs = traces
    [record] = traces.calls()

    assert (40.0, 100.0, runs.id) == (record.wait_us, record.run_us, record.run_trace_id)
    assert made.id == record.trace_id
    assert [] == list(traces.calls_of(runs))
    [run] = traces.runs_of(runs)
    assert ("a-1", "queue", None) == (run.call_id, run.destination, run.caller)
    assert [] == list(traces.runs_of(made))


def test_a_trace_is_continued_by_the_runs_that_are_linked_to_it(reading):
    """Below the span that they are linked to, with what they called themselves."""
    first = queued("a-1", linked=True)
    second = queued("a-2", linked=True, start=60)
    second[0] |= {"traceId": first[-1]["traceId"], "parentSpanId": first[-1]["spanId"]}
    second[1] |= {"traceId": first[-1]["traceId"]}
    second[2] |= {"links": [{"traceId": first[-1]["traceId"], "spanId": second[1]["spanId"]}]}
    traces = reading(*first, *second)
    made = next(iter(traces))

    whole = traces.continued(made)

    assert made.id == whole.id
    assert [
        (0, "dispatch"),
        (1, "publish"),
        (2, "process"),
        (3, "dispatch"),
        (4, "publish"),
        (5, "process"),
    ] == names(whole)
    assert [(0, "dispatch"), (1, "publish"), (2, "process")] == names(traces.continued(made, most=1))[:3]
    assert 5 == len(traces.continued(made, most=1).spans)


def test_a_run_that_lost_its_link_hangs_below_its_call(reading):
    """The id is enough."""
    made, published, run = queued("a-1", linked=True)
    del run["links"]
    traces = reading(made, published, run)

    assert [(0, "dispatch"), (1, "publish"), (1, "process")] == names(traces.continued(next(iter(traces))))


def test_links_of_others_continue_nothing(reading):
    """An application links whatever it likes."""
    made = handed("a-1")
    traces = reading(made, a_span("batch", link=made, start=9, scope="shop"))

    first, _ = traces
    assert first is traces.continued(first)


def test_a_trace_is_found_by_its_beginning_and_by_a_call(reading):
    """Whether it was made there, or nothing but its run is known."""
    traces = reading(*queued("a-1", linked=True), ran("b-7", QUEUE, start=500))
    made, _, lonely = traces

    assert [made] == traces.find("a-1")
    assert [lonely] == traces.find("b-7")
    assert [made] == traces.find(made.id)
    assert [] == traces.find("b-8")


def test_a_map_is_no_call_and_stands_above_its_calls(reading):
    """One span over all of them."""
    above = a_span("map shop.resize", {"task.name": "shop.resize", "map.calls": 2}, took=50)
    traces = reading(above, handed("a-1", parent=above), handed("a-2", start=9, parent=above))

    [trace] = traces
    assert ["a-1", "a-2"] == [call.call_id for call in traces.calls()]
    assert [(0, "map"), (1, "dispatch"), (1, "dispatch")] == names(trace)


def test_the_steps_of_a_call_are_no_calls(reading):
    """At the detail `debug`."""
    above, below = local("a-1")
    steps = [a_span(name, start=at, parent=above) for at, name in enumerate(("decide", "serialize", "enqueue"))]

    [record] = reading(above, *steps, below).calls()

    assert (6.0, 1) == (record.overhead_us, record.attempts)


@pytest.mark.parametrize("below", [True, False])
def test_a_spooled_call_went_to_disk_and_ran_in_a_worker(reading, below):
    """From the decision to the first line is as long as it lay there."""
    made = handed("a-1", SPOOL)
    where = {"parent": made, "link": made} if below else {"link": made}
    forward = a_span("forward queue", of("a-1"), start=5_000_000, kind=4, **where)
    traces = reading(made, forward, ran("a-1", QUEUE, start=6_000_000, parent=forward, link=forward))

    [record] = traces.calls()
    assert ("disk", "spool", 1) == (record.destination, record.transport, record.attempts)
    assert 5_999_999 == record.actual_start_us
    whole = traces.continued(next(iter(traces)))
    assert [(0, "dispatch"), (1, "forward"), (2, "process")] == names(whole)


def test_a_dead_letter_says_why_its_call_was_given_up(reading):
    """On the last attempt, or in a span of its own."""
    made, published, run = queued("a-1", error="ValueError")
    run["attributes"].append({"key": "dispatch.dead_letter", "value": {"stringValue": "failed"}})
    killer = handed("a-2", QUEUE, start=500)
    kept = a_span(
        "dead-letter shop.resize",
        {**of("a-2"), "dead_letter": "max_deliveries"},
        parent=killer,
        start=900,
        error="DeadLettered",
    )

    first, second = reading(made, published, run, killer, kept).calls()

    assert ("failed", "ValueError", 1) == (first.dead_letter, first.error, first.attempts)
    assert ("max_deliveries", "DeadLettered", 0) == (second.dead_letter, second.error, second.attempts)


def test_another_instrumentations_span_with_our_attributes_is_a_run(reading):
    """Celery's own opens it, and we say there what we know."""
    made = handed("a-1", QUEUE)

    [record] = reading(made, ran("a-1", QUEUE, name="run/shop.resize", scope="celery", parent=made)).calls()

    assert (1, 40.0) == (record.attempts, record.wait_us)


def test_somebody_elses_span_is_no_call(reading):
    """Whatever it says."""
    assert [] == list(reading(handed("a-1", scope="shop"), a_span("dispatch parcels", scope="shop")).calls())


def test_where_a_call_went_is_said_by_the_caller(reading):
    """Of a spooled call the worker knows only the queue."""
    [record] = reading(handed("a-1", SPOOL), ran("a-1", LOCAL)).calls()

    assert "disk" == record.destination
