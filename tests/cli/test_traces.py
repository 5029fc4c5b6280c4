"""`dispatch traces`: what a person sees of the calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cli.tracing import ask, away_from_settings
from dispatch import telemetry
from dispatch._outcome import Failure
from dispatch.errors import NotAccepted, PassedOver
from dispatch.telemetry.exporter import JsonLinesExporter
from telemetry.handmade import QUEUE, Spans, a_call, decision, provider_in_place, receive, run, send


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the machine's settings nor its `.env`."""
    away_from_settings(monkeypatch, tmp_path)


def write(spans, directory):
    """A file of its own for each process, and here for each handful of spans."""
    exporter = JsonLinesExporter(directory, service="shop")
    exporter.export(spans)
    exporter.shutdown()


@pytest.fixture
def shop(tmp_path):
    """A request with a local call and one through Celery, then a refusal, in two files of `traces`."""
    spans = Spans()
    with provider_in_place(spans.provider):
        with spans.tracer().start_as_current_span("POST /orders"):
            run(a_call(payload=4300), outcome=Failure(ValueError("no\nsuch \x1b[31mimage")))
            queued = a_call(
                made=decision(
                    destination="queue",
                    transport="celery",
                    rule="must-survive",
                    reason="rule",
                    durability="durable",
                    latency_budget_ns=5_000_000_000,
                    passed_over=(PassedOver("fast", "not_durable"),),
                )
            )
            headers = send(queued)
        caller = spans.finished
        spans.exporter.clear()
        receive(headers, queued.id)
        worker = spans.finished
        spans.exporter.clear()
        telemetry.dispatched(a_call(), NotAccepted("shop.resize", (PassedOver("queue", "refused"),)))
    for made in (caller, worker, spans.finished):
        write(made, tmp_path / "traces")
    return f"{caller[0].context.trace_id:032x}"


def test_list_shows_a_line_for_each_trace_the_newest_first(shop):
    """Where it went, by which rule, what it cost, how it ended."""
    asked = ask("list")

    heading, refused, request = asked.output.splitlines()
    assert 0 == asked.exit_code
    assert ["start", "trace", "root", "destination", "rule", "total", "overhead", "wait", "status"] == heading.split()
    assert "refused" in refused
    assert "dispatch shop.resize" in refused
    for words in (shop[:8], "POST /orders", "fast 1, queue 1", "otherwise 1, must-survive 1", "~", "error"):
        assert words in request


def test_list_of_a_single_call_names_its_destination_without_a_count(tmp_path):
    """Counts are for several."""
    spans = Spans()
    with provider_in_place(spans.provider):
        receive(send(call := a_call(made=QUEUE)), call.id)
    write(spans.finished, tmp_path / "traces")

    _, line = ask("list").output.splitlines()
    assert ["queue", "must-survive"] == line.split()[4:6]
    assert "ok" == line.split()[-1]


def test_list_keeps_to_its_limit_and_says_so(shop):
    """The newest so many."""
    asked = ask("list", "--limit", "1")

    assert "POST" not in asked.output
    assert "the newest 1 of 2" in asked.stderr


def test_list_as_json_has_everything(shop):
    """One array, with each call's record."""
    refused, request = json.loads(ask("list", "--json").stdout)

    assert (shop, "POST /orders", True, 6) == (
        request["trace_id"],
        request["root"],
        request["failed"],
        request["spans"],
    )
    assert [("fast", "ValueError"), ("queue", None)] == [
        (call["destination"], call["error"]) for call in request["calls"]
    ]
    assert "NotAccepted" == refused["calls"][0]["error"]


def test_an_empty_directory_says_how_to_switch_traces_on(tmp_path):
    """That is no failure; a program gets an empty list, and the hint on the other stream."""
    said, as_json = ask("list", "--dir", str(tmp_path)), ask("list", "--json")

    assert (0, 0) == (said.exit_code, as_json.exit_code)
    assert f"there are no traces in {tmp_path}" in said.output
    assert "dispatch.telemetry.setup(" in said.output
    assert [] == json.loads(as_json.stdout)
    assert "dispatch.telemetry.setup(" in as_json.stderr


def test_the_setting_says_where_to_look(shop, tmp_path):
    """DISPATCH_TRACE_DIR; `--dir` wins, and takes a file too."""
    (tmp_path / "traces").rename(tmp_path / "elsewhere")
    file = min((tmp_path / "elsewhere").iterdir())

    assert "no traces" in ask("list").output
    assert "POST" in ask("list", DISPATCH_TRACE_DIR="elsewhere").output
    assert "POST" in ask("list", "--dir", "elsewhere", DISPATCH_TRACE_DIR="nowhere").output
    assert "start" in ask("list", "--dir", str(file)).output


def test_show_draws_the_tree_across_processes(shop):
    """Each span below its parent, with a bar and its time."""
    asked = ask("show", shop[:6])
    lines = asked.output.splitlines()
    spans = [line for line in lines if "█" in line]

    assert 0 == asked.exit_code
    assert f"trace {shop}" == lines[0]
    assert "6 spans" in lines[1]
    for line, start in zip(
        spans,
        [
            "POST /orders",
            "├─ dispatch shop.resize",
            "│  └─ execute shop.resize",
            "└─ dispatch shop.resize",
            "   └─ publish default",
            "      └─ process shop.charge",
        ],
        strict=True,
    ):
        assert line.startswith(start)
        assert line.endswith("s")


def test_show_explains_the_decision_beside_its_span(shop):
    """Where, by which rule, who was passed over and why, and the price in its parts."""
    said = ask("show", shop).output

    for words in (
        "→ fast (local) · rule otherwise · ephemeral · payload 4.2 KiB · policy 0123456789ab",
        "→ queue (celery) · rule must-survive · passed over fast:not_durable · durable · budget 5 s",
        "decide 1.5 µs + serialize 0 µs + enqueue 0.5 µs",
        "overhead 2 µs = ",
        "wait 30 µs · start ",
    ):
        assert words in said
    assert 2 == said.count("decide "), "the worker's copy is not repeated below its caller"


def test_show_of_the_worker_s_file_alone_explains_as_far_as_it_can(shop, tmp_path):
    """The orphan carries the decision, and the heading says what is missing."""
    [file] = [each for each in (tmp_path / "traces").iterdir() if b"process shop" in each.read_bytes()]

    said = ask("show", shop, "--dir", str(file)).output

    assert "1 span without its parent, which is not in these files" in said
    assert "→ queue (celery) · rule must-survive" in said


def test_show_names_the_error_and_lets_no_escape_through(shop):
    """A trace file may come from a stranger."""
    said = ask("show", shop).output

    assert "✗ ValueError: no such" in said
    assert "\x1b" not in said


def test_show_as_json_has_the_tree_and_the_calls(shop):
    """Spans in the order of the drawing, each with its depth."""
    document = json.loads(ask("show", shop, "--json").stdout)

    assert [0, 1, 2, 1, 2, 3] == [span["depth"] for span in document["tree"]]
    assert "POST /orders" == document["tree"][0]["name"]
    assert 2 == len(document["calls"])


@pytest.mark.parametrize("arguments", [("show", "zz"), ("show", "")])
def test_an_id_that_names_none_or_several_is_a_wrong_argument(shop, arguments):
    """Status 2, a sentence, and no traceback."""
    asked = ask(*arguments)

    assert 2 == asked.exit_code
    assert "traces begin with" in asked.output or "no trace in" in asked.output


def test_show_where_there_are_no_traces_says_how_to_get_some():
    """Status 2: the trace that was asked for is not there."""
    asked = ask("show", "ab")

    assert 2 == asked.exit_code
    assert "dispatch.telemetry.setup(" in asked.output


def test_damaged_lines_are_told_beside_the_answer(shop, tmp_path):
    """On the other stream, with the first one named."""
    (tmp_path / "traces" / "torn.jsonl").write_text('{"resourceSp')

    asked = ask("list", "--json")

    assert 2 == len(json.loads(asked.stdout))
    assert "1 line could not be read and were left out; the first: torn.jsonl:1" in asked.stderr


@pytest.mark.parametrize("arguments", [("list",), ("show", "")])
def test_a_terminal_that_knows_only_ascii_gets_an_answer(shop, tmp_path, arguments):
    """Question marks for bars, not a traceback."""
    arguments = (*arguments[:-1], shop[:8]) if arguments[0] == "show" else arguments
    done = subprocess.run(
        [sys.executable, "-c", "from dispatch.cli._traces import traces; traces()", *arguments],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        timeout=30,
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert done.stdout.isascii()


def test_a_trace_without_any_call_of_ours_is_listed_and_shown(tmp_path):
    """Somebody else's spans are read as well."""
    spans = Spans()
    spans.tracer().start_span("lonely [bold]markup[/bold]").end()
    write(spans.finished, tmp_path / "traces")
    trace_id = f"{spans.finished[0].context.trace_id:032x}"

    assert "lonely [bold]markup[/bold]" in ask("list").output
    assert "lonely [bold]markup[/bold]" in ask("show", trace_id).output


def test_show_tells_the_prediction_beside_the_budget(tmp_path):
    """As the decision has it."""
    spans = Spans()
    with provider_in_place(spans.provider):
        run(a_call(made=decision(latency_budget_ns=10_000_000, predicted_start_ns=5_000_000)))
    write(spans.finished, tmp_path / "traces")

    newest = json.loads(ask("list", "--json").stdout)[-1]["trace_id"]
    assert "budget 10 ms · predicted to start in 5 ms" in ask("show", newest).output
