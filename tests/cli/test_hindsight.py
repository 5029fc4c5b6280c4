"""`dispatch traces show`: why calls went where they went, told afterwards by the rules that were asked."""

from __future__ import annotations

import json
import threading
from itertools import count

import pytest
from click.testing import CliRunner

import dispatch
from dispatch._dispatcher import Dispatcher
from dispatch.cli._hindsight import Library, hindsight
from dispatch.cli._traces import traces
from dispatch.errors import NotAccepted
from dispatch.telemetry.exporter import JsonLinesExporter
from dispatch.telemetry.traces import read
from telemetry.handmade import Spans, provider_in_place

NUMBERS = count(1)
POLICY = """
version: 1
destinations:
  tiny: {transport: local, workers: 1, capacity: 1, max_bytes: 64KiB, on_full: next}
  wide: {transport: local, workers: 2}
  queue: {transport: celery}
defaults: {durability: ephemeral}
tasks:
  "*.patient": {latency_budget: 1us}
rules:
  - {name: tagged, match: {tags: [billing, slow]}, route_to: wide, fallback: [queue]}
  - {name: heavy, match: {all: [{kind: cpu}, {payload: "> 1KiB"}]}, route_to: wide, fallback: [tiny, queue]}
  - {name: hurried, match: {latency_budget: "< 1s"}, route_to: queue, fallback: [tiny, wide]}
  - {name: durable, match: {durability: durable}, route_to: queue, fallback: [wide]}
  - {name: medium, match: {payload: "100B..50KiB"}, route_to: tiny, fallback: [wide]}
otherwise: {route_to: tiny, fallback: [wide, queue]}
"""


class Recording:
    """A dispatcher whose calls are recorded, and what the recording tells."""

    def __init__(self, dispatcher, spans, folder) -> None:
        self.dispatcher = dispatcher
        self._spans = spans
        self._folder = folder

    def task(self, function=len, name="task", **known):
        return dispatch.task(name=f"hindsight{next(NUMBERS)}.{name}", **known)(function).using(self.dispatcher)

    def written(self):
        exporter = JsonLinesExporter(self._folder / "traces", service="shop")
        exporter.export(self._spans.finished)
        exporter.shutdown()
        self._spans.exporter.clear()
        return read(self._folder / "traces")

    def told(self, *policy):
        """The explanation of the only call, or way of deciding, that was recorded."""
        (trace,) = self.written()
        (one,) = hindsight(trace, Library(policy or (str(self._folder / "shop.yaml"),), None))
        return one


@pytest.fixture
def recording(tmp_path):
    (tmp_path / "shop.yaml").write_text(POLICY)
    spans = Spans()
    with provider_in_place(spans.provider), Dispatcher(policy=str(tmp_path / "shop.yaml")) as one:
        yield Recording(one, spans, tmp_path)


@pytest.mark.parametrize(
    ("known", "argument"),
    [
        ({"tags": ["slow", "billing", "other"]}, "x"),
        ({"kind": "cpu"}, "x" * 5000),
        ({"kind": "cpu"}, "x"),
        ({"latency_budget": "10ms"}, "x"),
        ({"name": "patient"}, "x"),
        ({"durability": "durable"}, "x"),
        ({}, "x" * 300),
        ({}, "x" * 200_000),
        ({}, {1, 2}),
        ({"only": "local"}, "x"),
    ],
)
def test_it_tells_what_explain_told_before(recording, known, argument):
    """The same rules, asked again with what the trace has kept, say the same words; so do those passed over."""
    task = recording.task(**known)
    explained = dispatch.explain(task, argument)
    try:
        task.delay(argument).result(10)
    except NotAccepted:
        assert explained.decision is None

    told = recording.told()

    assert explained.rules == told.rules
    assert explained.policy_version == told.policy_version
    decision = explained.decision
    assert [decision.destination if decision else None] == [
        each.destination for each in told.candidates if each.chosen
    ] or [None]
    for each in decision.passed_over if decision else explained.passed_over:
        (stood,) = [one for one in told.candidates if one.destination == each.destination]
        assert stood.words == (f"{each.why}: {each.detail}" if each.detail else each.why)
    assert () == told.notes


def test_the_candidates_say_what_it_was_like_just_then(recording):
    """The figures are those of that moment: the pool was full, and is empty when somebody looks."""
    gate, begun = threading.Event(), threading.Semaphore(0)

    def stop(_text: str) -> None:
        begun.release()
        assert gate.wait(30)

    task = recording.task(stop)
    handles = [task.delay("a")]
    assert begun.acquire(timeout=10)
    handles.append(task.delay("a"))
    handles.append(task.delay("a"))
    gate.set()
    assert [None] * 3 == [each.result(10) for each in handles]

    found = recording.written()
    library = Library([str(recording._folder / "shop.yaml")], None)
    full = [one for trace in found for one in hindsight(trace, library) if "wide" == chosen(one)]

    (told,) = full
    assert ["tiny", "wide", "queue"] == [each.destination for each in told.candidates]
    assert (
        told.candidates[0].words.startswith("full: 0 B of 64 KiB") or "1 calls are waiting" in told.candidates[0].words
    )
    assert "stood behind, and was not needed" == told.candidates[2].words


def chosen(told):
    return next((each.destination for each in told.candidates if each.chosen), None)


def test_calls_decided_alike_are_told_once(recording):
    """Three hundred calls of one loop are one explanation, with their number."""
    task = recording.task(tags=["billing", "slow"])
    with recording._spans.tracer().start_as_current_span("POST /orders"):
        handles = [task.delay("x") for _ in range(3)]
        assert [1, 1, 1] == [each.result(10) for each in handles]

    told = recording.told()

    assert [each.id for each in handles] == list(told.calls)
    assert "and 2 more decided alike" in str(told)


def test_another_version_of_the_policy_is_not_asked(recording):
    """Its rules are other rules: the span alone speaks, and a note says how to have more."""
    recording.task().delay("x").result(10)
    (recording._folder / "shop.yaml").write_text(POLICY.replace("1KiB", "2KiB"))

    told = recording.told()

    assert (None, ()) == (told.sources, told.rules)
    assert ["tiny"] == [each.destination for each in told.candidates]
    (note,) = told.notes
    assert "another version" in note


def test_the_command_finds_the_policy_by_its_version(recording, monkeypatch):
    """DISPATCH_POLICY, or a ready one; named with --policy; and otherwise a note that says to."""
    recording.task().delay("x").result(10)
    (trace,) = recording.written()

    def show(*options):
        asked = CliRunner().invoke(traces, ["show", trace.id, *options])
        assert 0 == asked.exit_code, asked.output
        return asked.output

    assert "name its files with --policy" in show()
    assert "✓ otherwise" in show("--policy", "shop.yaml")
    document = json.loads(show("--policy", "shop.yaml", "--json"))
    assert "tagged" == document["explanations"][0]["rules"][0]["rule"]
    monkeypatch.setenv("DISPATCH_POLICY", "shop.yaml")
    assert "✗ tagged: tags lack billing, slow" in show()
    assert "→ tiny (local) got the call" in show()


def test_a_stranger_s_span_does_no_harm(tmp_path):
    """What nobody here would write is shown as far as it can be, and no rule is asked."""
    spans = Spans()
    strange = {
        "dispatch.policy.version": "x",
        "dispatch.task.kind": "odd",
        "dispatch.latency_budget_us": "soon",
        "dispatch.passed_over": ["no colon", ":"],
        "dispatch.passed_over.details": "text",
        "dispatch.payload.bytes": "many",
    }
    spans.tracer().start_span("dispatch odd", attributes=strange).end()
    exporter = JsonLinesExporter(tmp_path / "traces", service="shop")
    exporter.export(spans.finished)
    exporter.shutdown()
    (trace,) = read(tmp_path / "traces")

    asked = CliRunner().invoke(traces, ["show", trace.id, "--policy", "no-broker"])

    assert 0 == asked.exit_code, asked.output
    assert "payload not asked, or unknown" in asked.output
