"""`dispatch traces`: calls that ran in another trace than they were made in, and calls at every detail."""

from __future__ import annotations

import json

import pytest

from cli.tracing import ask, away_from_settings
from telemetry import written


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the machine's settings nor its `.env`."""
    away_from_settings(monkeypatch, tmp_path)


@pytest.fixture
def linked(tmp_path):
    """A call whose run is the root of a trace of its own, in a worker's file; the ids of both traces."""
    made, published, ran = written.queued("a-1", linked=True, error="ValueError")
    made |= {"traceId": "aa" * 16}
    published |= {"traceId": "aa" * 16}
    ran |= {"traceId": "bb" * 16, "links": [{"traceId": "aa" * 16, "spanId": published["spanId"]}]}
    written.write(tmp_path / "traces" / "shop.jsonl", made, published)
    written.write(tmp_path / "traces" / "worker.jsonl", ran, service="worker", pid=2)


@pytest.mark.parametrize("named", ["aaaa", "a-1"])
def test_show_draws_the_trace_in_which_a_call_ran_below_the_call(linked, named):
    """Named there; found by the trace or by the call."""
    said = ask("show", named).output

    assert f"trace {'aa' * 16}" in said
    assert "3 spans · with 1 trace that continues it · shop 1, worker 2" in said
    assert "   └─ process shop.resize" in said
    assert "continued in trace bbbbbbbb…" in said
    assert "✗ ValueError" in said


def test_show_of_the_run_s_trace_names_the_one_it_was_called_in(linked):
    """And draws what is in it."""
    said = ask("show", "bbbb").output

    assert "called in trace aaaaaaaa…" in said
    assert "publish" not in said


def test_list_has_both_traces_and_the_run_s_says_where_it_came_from(linked):
    """With what the worker was told of the decision; the caller's is red as its run is."""
    run, made = ask("list", "--rule", "must-survive").output.splitlines()[1:]

    assert ["bbbbbbbb", "process", "shop.resize", "queue", "must-survive"] == run.split()[1:6]
    assert ["aaaaaaaa", "dispatch", "shop.resize", "queue", "must-survive"] == made.split()[1:6]
    assert ("error", "error") == (run.split()[-1], made.split()[-1])
    assert 2 == len(json.loads(ask("list", "--errors", "--json").stdout))


def test_show_as_json_has_the_spans_of_the_trace_that_goes_on(linked):
    """Each with its own trace id."""
    tree = json.loads(ask("show", "aaaa", "--json").stdout)["tree"]

    assert [("dispatch", 0), ("publish", 1), ("process", 2)] == [
        (span["name"].split()[0], span["depth"]) for span in tree
    ]
    assert {"aa" * 16, "bb" * 16} == {span["trace_id"] for span in tree}


def test_show_explains_a_compact_call_beside_its_only_span(tmp_path):
    """Decision, price and delay; below it, why."""
    written.write(tmp_path / "traces" / "t.jsonl", *written.compact("c-1"))

    said = ask("show", "c-1").output

    for words in (
        "→ fast (local) · rule otherwise · ephemeral · policy",
        "overhead 6 µs\n",
        "wait 40 µs · start 10 µs",
        "shop.resize c-1",
        "ephemeral, latency budget none",
    ):
        assert words in said


def test_show_tells_of_a_map_and_of_a_dead_letter(tmp_path):
    """How many calls it made, and why one was given up."""
    above = written.a_span(
        "map shop.resize", {"map.calls": 3, "map.sent": 2, "map.destinations": ["fast:1", "queue:1"]}, took=90
    )
    given_up = written.queued("a-1", parent=above, error="ValueError")
    given_up[-1]["attributes"].append({"key": "dispatch.dead_letter", "value": {"stringValue": "failed"}})
    written.write(tmp_path / "traces" / "t.jsonl", above, *given_up)

    said = ask("show", above["traceId"]).output

    assert "3 calls · 2 handed over · → fast 1, queue 1" in said
    assert "✗ became a dead letter: failed" in said
