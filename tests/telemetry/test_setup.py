"""`dispatch.telemetry.setup()`: an application switches traces on. In processes of their own, as it is for real."""

from __future__ import annotations

import json
import textwrap

import pytest

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch.telemetry.traces import read
from telemetry.handmade import Spans, provider_in_place
from telemetry.programs import ONE_SPAN, spans_in


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


@pytest.mark.parametrize("word", ["1", "yes", "on", "tru"])
def test_only_true_disables_the_sdk(program, tmp_path, word):
    """As OpenTelemetry's specification says of its booleans."""
    assert "set up: True" in program(ONE_SPAN, OTEL_SDK_DISABLED=word)

    assert ["one"] == spans_in(tmp_path / "traces")


def test_the_sampler_is_the_environment_s(program, tmp_path):
    """Left to the SDK, whatever our own setting says."""
    program(ONE_SPAN, OTEL_TRACES_SAMPLER="always_off", DISPATCH_TRACE_RATIO="1")

    assert [] == spans_in(tmp_path / "traces")


def test_a_ratio_samples_that_share_of_new_traces_and_keeps_traces_whole(program, tmp_path):
    """Below a sampled parent all is sampled, below another one nothing is."""
    program(
        """
        from dispatch import telemetry
        from opentelemetry import trace
        telemetry.setup()
        tracer = trace.get_tracer("test")
        for _ in range(1000):
            with tracer.start_as_current_span("parent"):
                tracer.start_span("child").end()
        """,
        DISPATCH_TRACE_RATIO="0.2",
    )

    traces = list(read(tmp_path / "traces"))
    assert 100 < len(traces) < 300
    assert {("child", "parent")} == {tuple(sorted(span.name for span in trace.spans)) for trace in traces}


def test_a_remote_parent_decides_against_the_ratio(program, tmp_path):
    """Its trace has begun, and would be torn."""
    program(
        """
        from dispatch import telemetry
        from opentelemetry import propagate, trace
        telemetry.setup()
        for number in range(20):
            carrier = {"traceparent": f"00-{number + 1:032x}-00000000000000aa-{number % 2:02x}"}
            trace.get_tracer("test").start_span(f"{number % 2}", propagate.extract(carrier)).end()
        """,
        DISPATCH_TRACE_RATIO="0",
    )

    assert ["1"] * 10 == spans_in(tmp_path / "traces")


@pytest.mark.parametrize(
    "setting",
    [
        {"DISPATCH_TRACE_RATIO": "1.5"},
        {"DISPATCH_TRACE_RATIO": "nan"},
        {"DISPATCH_TRACE_FILE_SIZE": "16"},
        {"DISPATCH_TRACE_FILES": "0"},
        {"DISPATCH_TRACE_DIR_SIZE": "0B"},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(program, setting):
    """As at `configure()`."""
    said = program(
        """
        from dispatch import telemetry
        from dispatch.errors import NotConfigured
        try:
            telemetry.setup()
        except NotConfigured as error:
            print(error)
        """,
        **setting,
    )

    assert next(iter(setting)) in said


MANY_SPANS = """
    from dispatch import telemetry
    from opentelemetry import trace
    telemetry.setup()
    for number in range(3000):
        trace.get_tracer("test").start_span(str(number)).end()
        if number % 100 == 0:
            telemetry.flush()
    """


def test_the_settings_say_how_large_files_grow_and_how_many_there_are(program, tmp_path):
    """Of a process; the oldest spans are gone, the newest are there."""
    program(MANY_SPANS, DISPATCH_TRACE_FILE_SIZE="64KiB", DISPATCH_TRACE_FILES="3")

    files = list((tmp_path / "traces").iterdir())
    assert 3 == len(files)
    assert max(file.stat().st_size for file in files) <= 64 * 1024
    assert "2999" in spans_in(tmp_path / "traces")
    assert "0" not in spans_in(tmp_path / "traces")


def test_the_resource_has_what_the_environment_says(program, tmp_path):
    """Beside the name that the code gave."""
    program(ONE_SPAN, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging")

    [file] = (tmp_path / "traces").iterdir()
    resource = json.loads(file.read_text())["resourceSpans"][0]["resource"]["attributes"]
    said = {each["key"]: each["value"].get("stringValue") for each in resource}
    assert ("staging", "shop") == (said["deployment.environment.name"], said["service.name"])


def test_the_limits_of_spans_are_the_environment_s(program, tmp_path):
    """Ours are made like everybody's."""
    program(
        """
        from dispatch import telemetry
        from opentelemetry import trace
        telemetry.setup()
        trace.get_tracer("test").start_span("one", attributes={"word": "abcdef", "more": 1}).end()
        """,
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="1",
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="3",
    )

    [file] = (tmp_path / "traces").iterdir()
    [span] = json.loads(file.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert 1 == span["droppedAttributesCount"]
    assert "abcdef" not in file.read_text()


BATCHES = """
    from dispatch import telemetry
    from opentelemetry import trace
    telemetry.setup()
    [processor] = trace.get_tracer_provider()._active_span_processor._span_processors
    batches = processor._batch_processor
    print(batches._schedule_delay_millis, batches._max_queue_size, batches._max_export_batch_size)
    """


def test_the_batches_are_the_environment_s(program):
    """Where it says nothing, ours: sooner and more than the SDK's."""
    said = {"OTEL_BSP_SCHEDULE_DELAY": "70", "OTEL_BSP_MAX_QUEUE_SIZE": "700", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"}

    assert "70 700 7\n" == program(BATCHES, **said)
    assert "500 32768 512\n" == program(BATCHES)


@pytest.mark.parametrize("size", ["100", "many", ""])
def test_a_queue_that_is_too_small_for_a_batch_is_overlooked(program, tmp_path, size):
    """The SDK refuses it, or says that it is no number; the application starts, and its spans are written."""
    assert "set up: True" in program(ONE_SPAN, OTEL_BSP_MAX_QUEUE_SIZE=size)

    assert ["one"] == spans_in(tmp_path / "traces")


FAILING = """
    import dispatch
    dispatch.telemetry.setup()

    @dispatch.task(only="local")
    def fail():
        raise ValueError("never shown")

    try:
        fail.delay().result(timeout=20)
    except ValueError:
        pass
    """


@pytest.mark.parametrize(("word", "there"), [("logs", False), ("logs/dup", True), ("", True)])
def test_whoever_wants_exceptions_in_logs_alone_has_none_on_spans(program, tmp_path, word, there):
    """The span is red all the same, and names the class."""
    program(FAILING, OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=word)

    [span] = [span for trace in read(tmp_path / "traces") for span in trace.spans if span.name.startswith("execute")]
    assert "ValueError" == span.attributes["error.type"]
    assert there == bool(span.events)


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
    """And the files are written, as if nothing had been said."""
    said = program(ONE_SPAN, OTEL_TRACES_EXPORTER="zipkin")

    assert "zipkin" in said
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
