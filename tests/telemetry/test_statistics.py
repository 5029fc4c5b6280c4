"""All calls in numbers, read line by line: the same as from their records, in the room of their ways."""

from __future__ import annotations

import tracemalloc
from itertools import permutations
from math import ceil

import pytest

from dispatch.telemetry._reading.histogram import ERROR
from dispatch.telemetry.traces import Wanted, read, starts, statistics
from telemetry.written import (
    BEGAN,
    QUEUE,
    SPOOL,
    a_line,
    a_span,
    compact,
    handed,
    local,
    of,
    queued,
    ran,
    write,
)

PARTS = ("decide", "serialize", "enqueue", "wait", "start", "run", "overhead")
REFUSED = {"error": "NotAccepted", "destination": None}


def refused(call):
    """Nobody took it."""
    said = {**of(call), "passed_over": ["fast:full"], "policy.version": "0123456789ab"}
    return a_span("dispatch shop.resize", said, error="NotAccepted")


def many():
    """Calls of every kind, of which no two of a part are alike."""
    spans = []
    for number in range(1, 40):
        budget = {"latency_budget_us": 100.0, "predicted_start_us": float(number)} if number % 3 else {}
        spans += local(f"l-{number}", start=number, took=number * 7.3, **budget)
        spans += compact(f"c-{number}", start=number, task="shop.crop", took=number * 3.1, overhead_us=float(number))
        error = "ValueError" if number % 5 == 0 else None
        spans += queued(f"q-{number}", start=number * 2, linked=number % 2 == 0, error=error, **budget)
    made = handed("s-1", SPOOL)
    return [
        *spans,
        *(made, a_span("forward queue", of("s-1"), start=90, link=made), ran("s-1", QUEUE, start=500)),
        *(refused("r-1"), handed("w-1", QUEUE)),
        *(
            ran("q-5", QUEUE, start=900, took=5000, attempt=2),
            ran("q-10", QUEUE, start=901, attempt=2, error="KeyError"),
        ),
        ran("q-10", QUEUE, start=990, took=60, attempt=3, error="KeyError"),
    ]


def of_records(calls, part):
    """Their exact percentiles."""
    known = sorted(value for call in calls if (value := getattr(call, f"{part}_us")) is not None)
    return [known[ceil(share * len(known)) - 1] for share in (0.5, 0.9, 0.99, 1)] if known else None


def spread(told):
    return None if told is None else [told.p50, told.p90, told.p99, told.largest]


@pytest.mark.parametrize("order", [1, -1])
def test_statistics_are_those_of_the_records(tmp_path, order):
    """Each way's counts and each part's percentiles, whichever side of a call is read first."""
    write(tmp_path / "t.jsonl", *many()[::order])
    records = list(read(tmp_path).calls())

    told = statistics(tmp_path)

    assert (len(records), 0, 0, 1) == (told.calls, told.strangers, told.damaged, told.files)
    for row in told.by("destination", "transport", "task", "rule"):
        calls = [each for each in records if (each.destination, each.task) == (row.destination, row.task)]
        assert (len(calls), sum(each.error is not None for each in calls)) == (row.calls, row.failed)
        assert sum(each.run_us is None and each.error is None for each in calls) == row.without_run
        for part in PARTS:
            exact = of_records(calls, part)
            assert (exact and pytest.approx(exact, rel=ERROR * 1.001)) == spread(getattr(row, part)), part


@pytest.mark.parametrize("order", [1, -1])
def test_predictions_are_summed_as_from_the_records(tmp_path, order):
    """The same rows, from the same numbers."""
    write(tmp_path / "t.jsonl", *many()[::order])

    assert starts(read(tmp_path).calls()) == statistics(tmp_path).starts()


def test_rows_tell_apart_what_they_are_asked_to(tmp_path):
    """The busiest first; what is summed over has no name."""
    write(tmp_path / "t.jsonl", *many())
    told = statistics(tmp_path)

    assert [("shop.resize", 81), ("shop.crop", 39)] == [(row.task, row.calls) for row in told.by("task")]
    assert [None] == [row.destination for row in told.by()]
    assert {"local": 78, "celery": 40, "spool": 1, None: 1} == {
        row.transport: row.calls for row in told.by("transport")
    }
    assert {"otherwise", "must-survive", None} == {row.rule for row in told.by("rule")}


def test_the_spread_of_the_overhead_is_told_for_a_plot(tmp_path):
    """By transport, from the cheapest to the dearest."""
    write(tmp_path / "t.jsonl", *many())

    buckets = statistics(tmp_path).overhead("local")

    assert 78 == sum(count for _, count in buckets)
    assert sorted(buckets) == buckets
    assert (pytest.approx(1, rel=ERROR), pytest.approx(39, rel=ERROR)) == (buckets[0][0], buckets[-1][0])
    assert [] == statistics(tmp_path).overhead("inline")


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [
        (Wanted(task="shop.c*"), 39),
        (Wanted(task="*", destination="queue"), 40),
        (Wanted(destination="refused"), 1),
        (Wanted(rule="otherwise", task="shop.resize"), 39),
        (Wanted(errors=True), 8),
        (Wanted(since_ns=BEGAN + 30_000), 35),
        (Wanted(task="shop.nothing"), 0),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_only_the_calls_that_are_wanted_are_counted(tmp_path, wanted, calls, order):
    """And the runs of the others are no strangers."""
    write(tmp_path / "t.jsonl", *many()[::order])

    told = statistics(tmp_path, wanted)

    assert (calls, 0) == (told.calls, told.strangers)
    assert calls == sum(map(wanted.has_call, read(tmp_path).calls()))


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_call_that_was_repeated_ends_as_its_last_attempt_did(tmp_path, order):
    """It waited until the first, whichever file is read first."""
    made = handed("a-1", QUEUE)
    spans = [
        made,
        ran("a-1", QUEUE, error="KeyError"),
        ran("a-1", QUEUE, start=200, took=200, attempt=2, wait_us=900.0, error="KeyError"),
        ran("a-1", QUEUE, start=500, took=300, attempt=3, wait_us=900.0),
    ]
    write(tmp_path / "t.jsonl", *(spans[at] for at in order))

    [row] = statistics(tmp_path).by()

    assert (1, 0, 40.0, 300.0, 1) == (row.calls, row.failed, row.wait.p50, row.run.p50, row.run.count)


@pytest.mark.parametrize("order", [1, -1])
def test_a_compact_call_that_was_repeated_has_not_failed(tmp_path, order):
    """Its first span is red for the attempt in it, not for its hand-over."""
    [first] = compact("a-1", error="KeyError")
    write(tmp_path / "t.jsonl", *[first, ran("a-1", start=500, took=300, attempt=2)][::order])

    [row] = statistics(tmp_path).by()

    assert (1, 0, 300.0) == (row.calls, row.failed, row.run.p50)


@pytest.mark.parametrize("order", [1, -1])
def test_a_call_whose_first_attempt_left_no_span_ends_as_the_next_did(tmp_path, order):
    """Its worker died."""
    write(tmp_path / "t.jsonl", *[handed("a-1", QUEUE), ran("a-1", QUEUE, took=300, attempt=2)][::order])

    told = statistics(tmp_path)

    [row] = told.by()
    assert (0, 0, 300.0, 0) == (row.failed, row.without_run, row.run.p50, told.strangers)


def test_dead_letters_are_counted_among_the_failed(tmp_path):
    """Given up after its last attempt, or after its workers died of it."""
    write(
        tmp_path / "t.jsonl",
        *queued("a-1", error="ValueError"),
        a_span("dead-letter shop.resize", {**of("a-1"), "dead_letter": "failed"}, error="ValueError"),
        handed("a-2", QUEUE),
        a_span("dead-letter shop.resize", {**of("a-2"), "dead_letter": "max_deliveries"}, error="DeadLettered"),
        *queued("a-3"),
    )

    [row] = statistics(tmp_path).by()

    assert (3, 2, 2, 0) == (row.calls, row.failed, row.dead, row.without_run)


def test_runs_of_calls_that_are_elsewhere_are_strangers(tmp_path):
    """The worker's files alone: no calls, and it is said why."""
    write(tmp_path / "t.jsonl", ran("a-1", QUEUE), ran("a-2", QUEUE), ran("a-2", QUEUE, attempt=2))

    assert (0, 3) == (statistics(tmp_path).calls, statistics(tmp_path).strangers)


def test_where_two_clocks_contradict_each_other_there_is_no_start(tmp_path):
    """As in the record."""
    write(tmp_path / "t.jsonl", handed("a-1", QUEUE), ran("a-1", QUEUE, **{"clock.skewed": True}))

    assert [0] == [row.started for row in statistics(tmp_path).starts()]


def test_damaged_and_foreign_lines_are_counted_and_left_out(tmp_path):
    """What is whole in the same file has its part."""
    write(tmp_path / "t.jsonl", *local("a-1"))
    strange = handed("a-2") | {"startTimeUnixNano": "soon"}
    with (tmp_path / "t.jsonl").open("ab") as file:
        file.write(b'{"resourceSp\n\xff\xfe\n[1]\n{"resourceLogs": []}\n' + a_line(strange).encode() + b"\n")

    told = statistics(tmp_path)

    assert (1, 4) == (told.calls, told.damaged)
    assert "t.jsonl:3" in told.first_damage


@pytest.mark.parametrize(
    "attributes",
    [
        {"doubleValue": "6"},
        {"intValue": 6},
        {"intValue": "6"},
        {"doubleValue": 6},
    ],
)
def test_numbers_and_statuses_may_be_written_in_other_ways(tmp_path, attributes):
    """As other exporters write them."""
    made, run = local("a-1", error="ValueError")
    made["attributes"] = [
        {"key": each["key"], "value": attributes} if each["key"] == "dispatch.overhead_us" else each
        for each in made["attributes"]
    ]
    run |= {"status": {"code": "STATUS_CODE_ERROR"}, "startTimeUnixNano": int(run["startTimeUnixNano"])}
    write(tmp_path / "t.jsonl", made, run)

    [row] = statistics(tmp_path).by()
    assert (1, 6.0, 100.0) == (row.failed, row.overhead.p50, row.run.p50)


@pytest.mark.parametrize("value", [{"doubleValue": "Infinity"}, {"doubleValue": "NaN"}, {"stringValue": "6"}, {}])
def test_what_is_no_number_is_not_counted(tmp_path, value):
    """The call is."""
    made = handed("a-1")
    made["attributes"] = [*made["attributes"][:-4], {"key": "dispatch.overhead_us", "value": value}]
    write(tmp_path / "t.jsonl", made)

    [row] = statistics(tmp_path).by()
    assert (1, None) == (row.calls, row.overhead)


def test_a_directory_that_is_not_there_has_no_calls(tmp_path):
    """Nobody has traced yet; that is no error."""
    assert (0, [], 0) == (statistics(tmp_path / "no").calls, statistics(tmp_path / "no").by("task"), 0)


def _peak(place):
    """The most memory that was in use while its calls were summed up, and what came out."""
    statistics(place)  # what is made once, is made
    tracemalloc.start()
    try:
        told = statistics(place)
        return tracemalloc.get_traced_memory()[1], told
    finally:
        tracemalloc.stop()


def test_twenty_thousand_calls_need_no_more_memory_than_two_thousand(tmp_path):
    """A line is read, counted and forgotten: what stays is their ways, and the calls that wait for their run."""
    for calls in (2_000, 20_000):
        file = tmp_path / str(calls) / "t.jsonl"
        file.parent.mkdir()
        with file.open("w") as lines:
            for start in range(0, calls, 100):
                spans = (local(f"a-{number}", start=number) for number in range(start, start + 100))
                lines.write(a_line(*(span for pair in spans for span in pair)) + "\n")

    few, _ = _peak(tmp_path / "2000")
    many, told = _peak(tmp_path / "20000")

    assert 20_000 == told.calls
    assert many < few * 1.2


def test_a_call_that_waits_for_its_run_takes_a_few_hundred_bytes(tmp_path):
    """Its numbers and its id; the worker's file may be read last."""
    with (tmp_path / "t.jsonl").open("w") as lines:
        for start in range(0, 5_000, 100):
            lines.write(a_line(*(handed(f"a-{number}", QUEUE) for number in range(start, start + 100))) + "\n")
    write(tmp_path / "few.jsonl", handed("b-1"))

    few, _ = _peak(tmp_path / "few.jsonl")
    many, told = _peak(tmp_path / "t.jsonl")

    assert 5_000 == told.by()[0].without_run
    assert many - few < 2_000_000
