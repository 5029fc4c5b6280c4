"""`dispatch.telemetry.setup()`: an application switches traces on. In processes of their own, as it is for real."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch.telemetry.traces import read
from telemetry.handmade import Spans, provider_in_place


@pytest.fixture
def program(tmp_path):
    """Runs a program that may write traces into `traces`; returns what it printed, on either stream."""

    def run(code: str, *, status: int = 0, **environment: str) -> str:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "DISPATCH_"))}
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
            check=False,
            cwd=tmp_path,
            env={**kept, **environment},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert status == done.returncode, done.stderr
        return done.stdout + done.stderr

    return run


ONE_SPAN = """
    from dispatch import telemetry
    from opentelemetry import trace
    print("set up:", telemetry.setup(service="shop"))
    trace.get_tracer("test").start_span("one").end()
    """


def spans_in(place) -> list[str]:
    return sorted(span.name for trace in read(place) for span in trace.spans)


def test_spans_reach_a_file_by_the_end_of_the_program(program, tmp_path):
    """Nothing has to be closed; the default directory is `traces`."""
    assert "set up: True" in program(ONE_SPAN)

    [trace] = read(tmp_path / "traces")
    assert ["one"] == [span.name for span in trace.spans]
    assert ("shop",) == trace.services


def test_recording_begins_at_once(program):
    """Not a second later."""
    said = program("""
        from dispatch import telemetry
        from dispatch._clock import ticks
        print(telemetry.recording(ticks()), telemetry.setup(), telemetry.recording(ticks()))
        """)

    assert "False True True" in said


def test_the_directory_is_the_parameter_s_else_the_setting_s(program, tmp_path):
    """DISPATCH_TRACE_DIR, unless the application says otherwise."""
    program(ONE_SPAN, DISPATCH_TRACE_DIR="from-setting")
    program(ONE_SPAN.replace('service="shop"', 'directory="from-code"'), DISPATCH_TRACE_DIR="from-setting")

    assert ["one"] == spans_in(tmp_path / "from-setting")
    assert ["one"] == spans_in(tmp_path / "from-code")


@pytest.mark.parametrize(
    "environment", [{"OTEL_SERVICE_NAME": "till"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=till,x=y"}]
)
def test_the_operator_s_service_name_wins(program, tmp_path, environment):
    """The environment is closer to the deployment than the code."""
    program(ONE_SPAN, **environment)

    [trace] = read(tmp_path / "traces")
    assert ("till",) == trace.services


@pytest.mark.parametrize(
    "environment",
    [
        {"DISPATCH_TELEMETRY": "off"},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_CONFIG_FILE": "otel.yaml"},
    ],
)
def test_whoever_switched_traces_off_gets_none(program, tmp_path, environment):
    """No provider, no file."""
    assert "set up: False" in program(ONE_SPAN, **environment)

    assert not (tmp_path / "traces").exists()


def test_the_sampler_is_the_environment_s(program, tmp_path):
    """Left to the SDK."""
    program(ONE_SPAN, OTEL_TRACES_SAMPLER="always_off")

    assert [] == spans_in(tmp_path / "traces")


def test_a_provider_that_is_already_there_stays(caplog):
    """Said once, since somebody may look for files that are not written."""
    spans = Spans()
    with provider_in_place(spans.provider):
        assert not telemetry.setup()
        assert telemetry.recording(ticks())

    assert "already set" in caplog.text


def test_setting_up_twice_is_setting_up_once(program, tmp_path):
    """A module that is imported by caller and worker alike may say it without looking."""
    said = program("from dispatch import telemetry\ntelemetry.setup()" + textwrap.dedent(ONE_SPAN))

    assert "set up: False" in said
    assert "already" not in said
    assert ["one"] == spans_in(tmp_path / "traces")


def test_without_files_the_console_may_be_all(program, tmp_path):
    """`OTEL_TRACES_EXPORTER=console` with `files=False`."""
    said = program(ONE_SPAN.replace('service="shop"', "files=False"), OTEL_TRACES_EXPORTER="console")

    assert '"name": "one"' in said
    assert not (tmp_path / "traces").exists()


def test_an_exporter_that_we_do_not_know_is_named(program, tmp_path):
    """And the files are written all the same."""
    said = program(ONE_SPAN, OTEL_TRACES_EXPORTER="zipkin")

    assert "zipkin" in said
    assert ["one"] == spans_in(tmp_path / "traces")


def test_otlp_without_its_extra_says_what_to_install(program, tmp_path):
    """The application starts, and its files are written."""
    hidden = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"

    said = program(hidden + textwrap.dedent(ONE_SPAN), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    assert "pip install 'dispatch-router[otlp]'" in said
    assert ["one"] == spans_in(tmp_path / "traces")


def test_an_otlp_endpoint_gets_the_spans_over_http(program, tmp_path):
    """As protobuf, on the usual path; and the file has them too."""
    said = program(
        """
        import os, threading
        from http.server import BaseHTTPRequestHandler, HTTPServer
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        class Collector(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                request = ExportTraceServiceRequest.FromString(body)
                print(self.path, request.resource_spans[0].scope_spans[0].spans[0].name, flush=True)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
        """
        + ONE_SPAN.replace("\n    ", "\n        ")
        + "\n        telemetry.flush(timeout=20)\n"
    )

    assert "/v1/traces one" in said
    assert ["one"] == spans_in(tmp_path / "traces")


def test_calls_that_finish_at_exit_still_leave_spans(program, tmp_path):
    """What was registered to run at exit after the import of dispatch runs before the last flush."""
    program("""
        import atexit
        from dispatch import telemetry
        from opentelemetry import trace
        atexit.register(lambda: trace.get_tracer("test").start_span("last").end())
        telemetry.setup()
        """)

    assert ["last"] == spans_in(tmp_path / "traces")


def test_a_forked_child_writes_its_own_file_and_loses_nothing_when_it_flushes(program, tmp_path):
    """What a prefork worker does; the parent's held-back spans are written once, by the parent."""
    program("""
        import os
        from dispatch import telemetry
        from opentelemetry import trace
        telemetry.setup(service="shop")
        tracer = trace.get_tracer("test")
        tracer.start_span("parent").end()
        if os.fork() == 0:
            tracer.start_span("child").end()
            telemetry.flush()
            os._exit(0)
        os.wait()
        """)

    traces = read(tmp_path / "traces")
    assert ["child", "parent"] == spans_in(tmp_path / "traces")
    assert 2 == traces.files
    assert 2 == len({trace.root.process.pid for trace in traces})


def test_a_child_of_multiprocessing_flushes_by_itself(program, tmp_path):
    """It ends without atexit, but not without its finalizers."""
    program("""
        import multiprocessing
        from dispatch import telemetry
        from opentelemetry import trace

        def work():
            trace.get_tracer("test").start_span("child").end()

        telemetry.setup()
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        """)

    assert ["child"] == spans_in(tmp_path / "traces")
