"""Trace files, read: ours and other people's, whole and damaged."""

from __future__ import annotations

import gzip
import json

import pytest

from dispatch.telemetry.exporter import JsonLinesExporter
from dispatch.telemetry.traces import read
from telemetry.handmade import Spans


def a_span(number=1, **changes):
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": f"{number:016x}",
        "name": f"span {number}",
        "kind": 1,
        "startTimeUnixNano": "1000",
        "endTimeUnixNano": "3000",
    }
    return {**span, **changes}


def a_line(*spans, attributes=()):
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}, *attributes]}
    return json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": [*spans]}]}]}
    )


def only(traces):
    [trace] = traces
    [span] = trace.spans
    return span


def test_what_our_exporter_writes_is_read_back(tmp_path):
    """Every field that the reader knows."""
    spans = Spans()
    exporter = JsonLinesExporter(tmp_path)
    with spans.tracer().start_as_current_span("root", attributes={"many": ["a", "b"], "count": 3, "ok": True}) as root:
        root.add_event("note", {"of": 1.5}, timestamp=7)
    exporter.export(spans.finished)
    exporter.shutdown()

    span, [made] = only(read(tmp_path)), spans.finished
    assert (made.name, made.start_time, made.end_time) == (span.name, span.start_ns, span.end_ns)
    assert f"{made.context.trace_id:032x}" == span.trace_id
    assert ("internal", "unset", "shop") == (span.kind, span.status, span.scope)
    assert {"many": ["a", "b"], "count": 3, "ok": True} == span.attributes
    [event] = span.events
    assert ("note", 7, {"of": 1.5}) == (event.name, event.time_ns, event.attributes)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "SPAN_KIND_INTERNAL", "startTimeUnixNano": 1000, "endTimeUnixNano": 3000},
        {"kind": 1, "status": None, "attributes": None, "events": None, "links": None, "parentSpanId": None},
        {"unknown": {"deep": [1, 2]}, "droppedAttributesCount": 0, "flags": 257},
        {"traceId": "0AF7651916CD43DD8448EB211C80319C"},
    ],
)
def test_other_exporters_ways_of_writing_are_read_alike(tmp_path, changes):
    """Enums by name, integers as numbers, null for nothing, fields we do not know, ids in capitals."""
    (tmp_path / "foreign.jsonl").write_text(a_line(a_span(**changes)) + "\n")

    span = only(read(tmp_path))
    assert ("0af7651916cd43dd8448eb211c80319c", "internal", 2000) == (span.trace_id, span.kind, span.duration_ns)


def test_a_status_may_be_a_number_or_a_name(tmp_path):
    """2 and STATUS_CODE_ERROR are one."""
    lines = [a_line(a_span(n, status={"code": code})) for n, code in enumerate((2, "STATUS_CODE_ERROR"), 1)]
    (tmp_path / "foreign.jsonl").write_text("\n".join(lines))

    [trace] = read(tmp_path)
    assert ["error", "error"] == [span.status for span in trace.spans]


def test_attributes_of_every_type_become_python_values(tmp_path):
    """Integers may be text, doubles may be words."""
    values = {
        "text": {"stringValue": ""},
        "int": {"intValue": "-5"},
        "number": {"intValue": 5},
        "double": {"doubleValue": 1.5},
        "infinite": {"doubleValue": "Infinity"},
        "no": {"boolValue": False},
        "list": {"arrayValue": {"values": [{"intValue": "1"}, {}]}},
        "map": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}},
        "bytes": {"bytesValue": "AP8="},
        "nothing": {},
    }
    pairs = [{"key": key, "value": value} for key, value in values.items()]
    (tmp_path / "t.jsonl").write_text(a_line(a_span(attributes=pairs)))

    assert {
        "text": "",
        "int": -5,
        "number": 5,
        "double": 1.5,
        "infinite": float("inf"),
        "no": False,
        "list": [1, None],
        "map": {"a": "b"},
        "bytes": "AP8=",
        "nothing": None,
    } == only(read(tmp_path)).attributes


def test_damaged_lines_are_counted_and_the_others_read(tmp_path):
    """The last line is half written, one is no JSON, one no text, one has a span without ids."""
    good = a_line(a_span(1))
    (tmp_path / "t.jsonl").write_bytes(
        b"\n".join(
            [good.encode(), b"not json", b"\xff\xfe", b"", a_line(a_span(2, traceId="")).encode(), good[:90].encode()]
        )
    )

    traces = read(tmp_path)
    assert ["span 1"] == [span.name for trace in traces for span in trace.spans]
    assert 4 == traces.damaged
    assert traces.first_damage.startswith("t.jsonl:2: not OTLP JSON")


@pytest.mark.parametrize(
    "changes",
    [
        {"startTimeUnixNano": "soon"},
        {"startTimeUnixNano": -1},
        {"endTimeUnixNano": "9" * 400},
        {"attributes": [{"key": "x", "value": {"intValue": "9" * 5000}}]},
        {"attributes": [{"value": {}}]},
        {"name": 5},
        {"spanId": "0000000000000000"},
    ],
)
def test_a_line_with_an_impossible_value_is_a_damaged_line(tmp_path, changes):
    """Nothing that a file says can stop the reader, or whoever shows what was read."""
    (tmp_path / "t.jsonl").write_text(a_line(a_span(**changes)))

    assert (0, 1) == (len(read(tmp_path)), read(tmp_path).damaged)


def test_nesting_without_end_is_a_damaged_line(tmp_path):
    """It must not take the interpreter's stack with it."""
    (tmp_path / "t.jsonl").write_text('{"resourceSpans":' + "[" * 100_000)

    assert 1 == read(tmp_path).damaged


def test_logs_and_metrics_in_the_same_directory_are_no_damage(tmp_path):
    """One signal a file, but a directory may hold several."""
    (tmp_path / "logs.jsonl").write_text('{"resourceLogs": []}\n{"resourceMetrics": []}\n')

    assert (0, 0) == (len(read(tmp_path)), read(tmp_path).damaged)


def test_rotated_and_compressed_files_and_whole_documents_are_read_too(tmp_path):
    """What is not a trace file is not opened."""
    (tmp_path / "a.jsonl").write_text(a_line(a_span(1)))
    (tmp_path / "a.jsonl.1").write_text(a_line(a_span(2)))
    (tmp_path / "a.jsonl.2.gz").write_bytes(gzip.compress(a_line(a_span(3)).encode()))
    (tmp_path / "document.json").write_text(json.dumps(json.loads(a_line(a_span(4))), indent=2))
    (tmp_path / "lines.json").write_text(a_line(a_span(5)) + "\n" + a_line(a_span(6)) + "\n")
    (tmp_path / "notes.txt").write_text("not for us")
    (tmp_path / "folder.jsonl").mkdir()

    traces = read(tmp_path)
    [trace] = traces
    assert [f"span {number}" for number in range(1, 7)] == sorted(span.name for span in trace.spans)
    assert (5, 0) == (traces.files, traces.damaged)


def test_a_compressed_file_that_was_cut_off_is_counted(tmp_path):
    """As is one that never was compressed."""
    whole = gzip.compress("\n".join(a_line(a_span(n)) for n in range(1, 200)).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.jsonl.gz").write_text("plain")

    assert 2 == read(tmp_path).damaged


def test_a_file_may_be_named_instead_of_a_directory(tmp_path):
    """Whatever its name."""
    file = tmp_path / "upload"
    file.write_text(a_line(a_span()))

    assert "span 1" == only(read(file)).name


def test_a_directory_that_is_not_there_holds_no_traces(tmp_path):
    """Nobody has traced yet; that is no error."""
    traces = read(tmp_path / "nowhere")

    assert (0, 0, 0) == (len(traces), traces.files, traces.damaged)


def test_the_process_is_known_by_service_and_pid(tmp_path):
    """A pid that is no number is none."""
    pid = {"key": "process.pid", "value": {"intValue": "42"}}
    (tmp_path / "t.jsonl").write_text(a_line(a_span(), attributes=[pid]))

    assert "shop 42" == str(only(read(tmp_path)).process)


def test_a_hundred_thousand_spans_are_read_in_seconds(tmp_path):
    """The bound leaves room for a busy machine; it is there against the square of the number."""
    from time import perf_counter

    with (tmp_path / "t.jsonl").open("w") as file:
        for start in range(0, 100_000, 250):
            batch = [
                a_span(n + 1, traceId=f"{n // 10 + 1:032x}", parentSpanId=f"{n // 10 * 10 + 1:016x}")
                for n in range(start, start + 250)
            ]
            file.write(a_line(*batch) + "\n")

    began = perf_counter()
    traces = read(tmp_path)

    assert 10_000 == len(traces)
    assert perf_counter() - began < 20
