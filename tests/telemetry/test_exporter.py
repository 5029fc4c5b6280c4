"""Trace files: OTLP JSON lines that any reader of OTLP takes."""

from __future__ import annotations

import json
import os
import stat

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace import set_span_in_context as in_context
from opentelemetry.trace.status import Status, StatusCode

from dispatch.telemetry._export._otlp_lines import LONGEST_LINE, lines
from dispatch.telemetry.exporter import JsonLinesExporter
from telemetry.handmade import Spans
from telemetry.otlp import parsed

REMOTE = SpanContext(
    0xABCDEF, 0x123, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "x")])
)


@pytest.fixture
def rich():
    """Spans with everything that a span can have."""
    spans = Spans(
        resource=Resource({"service.name": "shop", "process.pid": os.getpid()}, "https://example.org/schema"),
        span_limits=SpanLimits(max_span_attributes=20, max_events=2, max_links=1),
    )
    tracer = spans.provider.get_tracer("dispatch", "1.2", "https://example.org/scope", {"flavour": "sweet"})
    root = tracer.start_span("root", in_context(NonRecordingSpan(REMOTE)), SpanKind.SERVER, start_time=1_000)
    child = tracer.start_span(
        "child", in_context(root), SpanKind.CONSUMER, links=[Link(REMOTE, {"why": "batch"}), Link(REMOTE)]
    )
    child.set_attributes(
        {
            "text": "größe \u2028 \x00",
            "yes": True,
            "no": False,
            "small": -1,
            "large": (1 << 63) - 1,
            "double": 0.1,
            "whole": 2.0,
            "many": ["a", "b"],
            "numbers": [1, 2],
            "empty": [],
        }
    )
    for number in range(3):
        child.add_event(f"event {number}", {"number": number}, timestamp=2_000 + number)
    child.set_status(Status(StatusCode.ERROR, "it broke"))
    child.end()
    root.set_status(StatusCode.OK)
    root.end(end_time=9_000)
    spans.provider.get_tracer("other").start_span("stranger").end()
    return spans.finished


def test_a_line_is_a_whole_request_with_every_field(rich):
    """Read by protobuf it equals what OpenTelemetry's own encoder makes, but for the flags that it leaves out."""
    [line] = lines(rich)
    ours, theirs = parsed(line), encode_spans(rich)

    for request in (ours, theirs):
        for scope in request.resource_spans[0].scope_spans:
            for span in scope.spans:
                span.flags &= 0x300
                for link in span.links:
                    link.flags &= 0x300
                    link.trace_state = ""  # the encoder drops it; ours keeps it
    assert theirs == ours


def test_the_json_is_as_the_specification_writes_it(rich):
    """Ids in lowercase hex, 64-bit integers as text, enums as numbers, nothing that is not UTF-8."""
    [line] = lines(rich)
    group = json.loads(line)["resourceSpans"][0]
    span = group["scopeSpans"][0]["spans"][0]
    attributes = {each["key"]: each["value"] for each in span["attributes"]}

    assert f"{REMOTE.trace_id:032x}" == span["traceId"]
    assert 16 == len(span["parentSpanId"])
    assert (5, {"code": 2, "message": "it broke"}) == (span["kind"], span["status"])
    assert isinstance(span["startTimeUnixNano"], str)
    assert {"intValue": "9223372036854775807"} == attributes["large"]
    assert {"boolValue": False} == attributes["no"]
    assert {"doubleValue": 2.0} == attributes["whole"]
    assert "https://example.org/schema" == group["schemaUrl"]
    assert "https://example.org/scope" == group["scopeSpans"][0]["schemaUrl"]
    assert (1, 1) == (span["droppedEventsCount"], span["droppedLinksCount"])
    assert "vendor=x" == span["links"][0]["traceState"]


def test_the_flags_tell_the_sampling_and_whether_the_parent_is_elsewhere(rich):
    """Bit 8: we know; bit 9: it is; the lowest: sampled."""
    [line] = lines(rich)
    child, root = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]

    assert (0x300, 0x100) == (root["flags"] & 0x300, child["flags"] & 0x300)
    assert root["flags"] & 1
    assert 0x300 == child["links"][0]["flags"] & 0x300


def test_values_that_json_has_no_number_for_are_words():
    """As protobuf's JSON writes them; what is larger than 64 bits is text."""
    spans = Spans()
    span = spans.tracer().start_span("odd")
    span.set_attributes({"nan": float("nan"), "inf": float("-inf"), "huge": 1 << 80, "bytes": b"\x00\xff"})
    span.end()
    [line] = lines(spans.finished)
    values = {
        each["key"]: each["value"]
        for each in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    }

    assert {"doubleValue": "NaN"} == values["nan"]
    assert {"doubleValue": "-Infinity"} == values["inf"]
    assert {"stringValue": str(1 << 80)} == values["huge"]
    assert parsed(line)


def test_a_span_that_cannot_be_encoded_costs_itself_and_not_its_neighbours(failures):
    """A lone surrogate is no text."""
    spans = Spans()
    for name in ("good", "bad \ud800", "fine"):
        spans.tracer().start_span(name).end()

    names = [parsed(line).resource_spans[0].scope_spans[0].spans[0].name for line in lines(spans.finished)]

    assert ["good", "fine"] == names
    assert 1 == failures()


def test_a_line_holds_at_most_256_spans():
    """Readers take lines up to a mebibyte."""
    spans = Spans()
    for _ in range(600):
        spans.tracer().start_span("one").end()

    counts = [len(parsed(line).resource_spans[0].scope_spans[0].spans) for line in lines(spans.finished)]

    assert [256, 256, 88] == counts


def test_a_line_stays_below_a_mebibyte_however_long_its_spans_are():
    """It is divided between spans; only a single one that is longer goes beyond."""
    spans = Spans()
    for size in (10, 700_000, 10, 700_000, 2_000_000, 10):
        spans.tracer().start_span("one", attributes={"text": "x" * size}).end()

    sizes = [len(line) for line in lines(spans.finished)]

    assert 1 == sum(size >= LONGEST_LINE for size in sizes)
    assert 6 == sum(len(parsed(line).resource_spans[0].scope_spans[0].spans) for line in lines(spans.finished))


def test_the_file_is_made_at_the_first_write_and_is_its_owner_s_alone(tmp_path, rich):
    """Nothing on disk before there is something to say; the name tells service, process and start."""
    exporter = JsonLinesExporter(tmp_path / "deep" / "traces", service="shop & co/../x")
    assert exporter.path is None
    assert not (tmp_path / "deep").exists()

    assert SpanExportResult.SUCCESS == exporter.export(rich)

    assert 0o600 == stat.S_IMODE(exporter.path.stat().st_mode)
    assert tmp_path / "deep" / "traces" == exporter.path.parent
    assert exporter.path.name.startswith(f"traces-shop_co_.._x-{os.getpid()}-")
    assert exporter.path.suffix == ".jsonl"
    exporter.shutdown()


def test_every_export_adds_whole_lines(tmp_path, rich):
    """So that a reader at any moment sees requests."""
    exporter = JsonLinesExporter(tmp_path)
    exporter.export(rich)
    exporter.export(rich)

    assert 2 == len([parsed(line) for line in exporter.path.read_bytes().splitlines()])
    exporter.shutdown()


def test_a_directory_that_cannot_be_written_costs_spans_and_nothing_else(tmp_path, rich, failures):
    """The exporter answers FAILURE, as the SDK expects; the count tells."""
    (tmp_path / "taken").write_text("a file")
    exporter = JsonLinesExporter(tmp_path / "taken")

    assert SpanExportResult.FAILURE == exporter.export(rich)
    assert 1 == failures()


def test_after_a_torn_write_the_next_line_starts_afresh(tmp_path, rich, monkeypatch):
    """A full disk leaves half a line; what comes after must not grow onto it."""
    exporter = JsonLinesExporter(tmp_path)
    real = os.write
    answers = iter([10, OSError("no space left")])

    def full(descriptor, data):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return real(descriptor, data[:answer])

    monkeypatch.setattr(os, "write", full)
    assert SpanExportResult.FAILURE == exporter.export(rich)
    monkeypatch.setattr(os, "write", real)
    assert SpanExportResult.SUCCESS == exporter.export(rich)

    torn, whole = exporter.path.read_bytes().splitlines()
    assert 10 == len(torn)
    assert parsed(whole)
    exporter.shutdown()


def test_after_shutdown_nothing_is_written(tmp_path, rich):
    """And shutting down twice, or before anything was written, is fine."""
    exporter = JsonLinesExporter(tmp_path)
    exporter.shutdown()
    exporter.shutdown()

    assert SpanExportResult.FAILURE == exporter.export(rich)
    assert exporter.force_flush()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_writes_a_file_of_its_own(tmp_path, rich):
    """Named after its own process id, with its own id on its spans; the parent's file stays the parent's."""
    exporter = JsonLinesExporter(tmp_path, service="shop")
    exporter.export(rich)
    child = os.fork()
    if child == 0:
        exporter.export(rich)
        os._exit(0)
    assert (child, 0) == os.waitpid(child, 0)
    exporter.export(rich)

    [theirs] = tmp_path.glob(f"traces-shop-{child}-*")
    assert 2 == len(exporter.path.read_bytes().splitlines())
    [line] = theirs.read_bytes().splitlines()
    resource = parsed(line).resource_spans[0].resource
    assert [child] == [each.value.int_value for each in resource.attributes if each.key == "process.pid"]
    exporter.shutdown()
