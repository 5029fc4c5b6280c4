"""Spans over OTLP, to real servers, as the standard variables say. Programs in processes of their own send them."""

from __future__ import annotations

from textwrap import dedent

import pytest

from telemetry.collectors import over_grpc, over_http
from telemetry.programs import ONE_SPAN, spans_in

HTTP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
GRPC = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


@pytest.fixture
def http():
    with over_http() as collector:
        yield collector


@pytest.fixture
def rpc():
    with over_grpc() as collector:
        yield collector


def test_an_endpoint_gets_the_spans_as_protobuf_over_http(program, tmp_path, http):
    """Without a word about the protocol; the file has them too."""
    program(ONE_SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=http.endpoint)

    assert ["one"] == http.spans
    assert ["one"] == spans_in(tmp_path / "traces")


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
def test_an_endpoint_gets_the_spans_over_grpc_where_that_is_asked_for(program, rpc, variable):
    """For all signals, or for this one."""
    program(ONE_SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=rpc.endpoint, **{variable: "grpc"})

    assert ["one"] == rpc.spans


def test_the_protocol_of_traces_wins_over_that_of_all_signals(program, http):
    program(
        ONE_SPAN,
        OTEL_EXPORTER_OTLP_ENDPOINT=http.endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf",
    )

    assert ["one"] == http.spans


def test_json_over_http_becomes_protobuf_over_http_and_is_said(program, http):
    """The same servers take both at the same address."""
    said = program(ONE_SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=http.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="http/json")

    assert ["one"] == http.spans
    assert "http/json" in said


def test_an_address_of_traces_alone_is_taken_as_it_is(program, http):
    """With its path, and without the other one's."""
    program(
        ONE_SPAN,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{http.endpoint}/v1/traces",
    )

    assert ["one"] == http.spans


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_headers_travel_along(program, protocol):
    """A key for whoever receives them."""
    with over_grpc() if protocol == "grpc" else over_http() as collector:
        program(
            ONE_SPAN,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_HEADERS="x-api-key=secret",
        )

    [request] = collector.requests
    assert "secret" == request.headers["x-api-key"]


@pytest.mark.parametrize(
    ("listed", "places"),
    [
        ("otlp", {"otlp"}),
        ("otlp,otlp_json_file", {"otlp", "files"}),
        ("otlp, console", {"otlp", "console"}),
        ("otlp_json_file", {"files"}),
        ("OTLP,zipkin", {"otlp"}),
        ("zipkin", {"otlp", "files"}),
        ("", {"otlp", "files"}),
        ("otlp,none", set()),
    ],
)
def test_the_list_of_exporters_is_the_whole_list(program, tmp_path, http, listed, places):
    """`OTEL_TRACES_EXPORTER` switches files off and on; what is not known in it counts as not written."""
    said = program(ONE_SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=http.endpoint, OTEL_TRACES_EXPORTER=listed)

    found = {"otlp": http.spans, "files": (tmp_path / "traces").exists(), "console": '"name": "one"' in said}
    assert places == {place for place, there in found.items() if there}


def test_the_operator_has_files_where_the_code_wants_none(program, tmp_path):
    """The environment is closer to the deployment."""
    program(ONE_SPAN.replace('service="shop"', "files=False"), OTEL_TRACES_EXPORTER="otlp_json_file")

    assert ["one"] == spans_in(tmp_path / "traces")


@pytest.mark.parametrize(("protocol", "module"), [("http/protobuf", HTTP), ("grpc", GRPC)])
def test_without_the_extra_the_cure_is_said_once_and_files_are_written(program, tmp_path, protocol, module):
    """The application starts."""
    hidden = f"import sys; sys.modules['{module}'] = None\n"

    said = program(
        hidden + dedent(ONE_SPAN),
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )

    assert 1 == said.count("pip install 'dispatch-router[otlp]'")
    assert ["one"] == spans_in(tmp_path / "traces")


def test_a_variable_that_makes_no_sense_costs_the_exporter_and_not_the_application(program, tmp_path):
    """OpenTelemetry's own exporter for gRPC raises."""
    said = program(
        ONE_SPAN,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_TIMEOUT="a while",
    )

    assert "what the environment says of OTLP cannot be used" in said
    assert ["one"] == spans_in(tmp_path / "traces")


FORKED = """
    import os
    from dispatch import telemetry
    from opentelemetry import trace
    telemetry.setup()
    tracer = trace.get_tracer("test")
    tracer.start_span("before").end()
    telemetry.flush(timeout=20)
    if os.fork() == 0:
        tracer.start_span("child").end()
        telemetry.flush(timeout=20)
        os._exit(0)
    os.wait()
    """


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_forked_child_sends_over_a_connection_of_its_own(program, protocol):
    """Its parent has sent over one already, and both would speak at once."""
    with over_grpc() if protocol == "grpc" else over_http() as collector:
        program(FORKED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)

    assert ["before", "child"] == collector.spans
    assert 2 == len({request.peer for request in collector.requests})
