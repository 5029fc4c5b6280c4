"""`dispatch.telemetry.setup()` puts a meter provider in place where the environment asks for one."""

from __future__ import annotations

import pytest

from dispatch import telemetry
from dispatch.telemetry._export._metric_provider import build_meter_provider
from telemetry.collectors import over_grpc, over_http
from telemetry.metered import Readings, meters_in_place

CALL = """
    import dispatch
    from opentelemetry import metrics
    dispatch.telemetry.setup(service="shop", files=False)

    @dispatch.task
    def double(number):
        return 2 * number

    assert double.delay(2).result(timeout=5) == 4
    print(type(metrics.get_meter_provider()).__name__)
    """


def test_what_was_counted_is_exported_at_the_end_of_the_program(program):
    """To the console, with the service's name; nobody waits for the interval."""
    said = program(CALL, OTEL_METRICS_EXPORTER="console")

    assert '"dispatch.calls.completed"' in said
    assert '"dispatch.task.duration"' in said
    assert '"service.name": "shop"' in said


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_METRICS_EXPORTER": "console", "DISPATCH_METRICS": "off"},
        {"OTEL_METRICS_EXPORTER": "console", "DISPATCH_TELEMETRY": "off"},
        {"OTEL_METRICS_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_METRICS_EXPORTER": "console", "OTEL_CONFIG_FILE": "otel.yaml"},
    ],
)
def test_nobody_gets_metrics_who_did_not_ask_or_switched_them_off(program, environment):
    """Traces to files alone are the default."""
    said = program(CALL, OTEL_TRACES_EXPORTER="none", **environment)

    assert "_ProxyMeterProvider" in said


def test_metrics_do_not_need_traces(program):
    """Two signals, two switches."""
    said = program(CALL, OTEL_METRICS_EXPORTER="console", OTEL_TRACES_EXPORTER="none")

    assert '"dispatch.calls.completed"' in said


def test_an_exporter_that_we_do_not_know_is_named(program):
    """And no provider is made for nothing."""
    said = program(CALL, OTEL_METRICS_EXPORTER="prometheus")

    assert "OTEL_METRICS_EXPORTER names an exporter that is not known here" in said
    assert "prometheus" in said
    assert "_ProxyMeterProvider" in said


def test_otlp_without_its_extra_says_what_to_install(program):
    """The application starts."""
    hidden = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.metric_exporter'] = None\n"

    said = program(hidden + "import textwrap; exec(textwrap.dedent(" + repr(CALL) + "))", OTEL_METRICS_EXPORTER="otlp")

    assert "pip install 'dispatch-router[otlp]'" in said
    assert "_ProxyMeterProvider" in said


@pytest.fixture(params=["http", "grpc"])
def collector(request, monkeypatch):
    """One that speaks a protocol, and an environment that names both."""
    with over_http() if request.param == "http" else over_grpc() as collector:
        collector.environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf" if request.param == "http" else "grpc",
        }
        yield collector


def test_an_otlp_endpoint_gets_metrics_too(program, collector):
    """The variable that asks for spans there asks for metrics; the last ones come when the program ends."""
    program(CALL, **collector.environment)

    assert "dispatch.calls.completed" in collector.measured[-1].names
    assert 1 == collector.measured[-1].dispatched


def test_metrics_are_sent_as_often_as_the_environment_says(monkeypatch):
    """Read by the SDK, and overruled by nobody."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "250000")
    provider = build_meter_provider(service=None, exporters=frozenset(("console",)))
    [reader] = provider._metric_readers
    provider.shutdown()

    assert 250_000 == reader._export_interval_millis


def test_a_flush_hands_on_metrics_too(program, collector):
    """What a Celery child does as it ends, which it does without `atexit`."""
    program(
        CALL + "\n    import os\n    dispatch.telemetry.flush(timeout=20)\n    os._exit(0)\n", **collector.environment
    )

    assert [1] == [each.dispatched for each in collector.measured]


def test_a_forked_child_sends_its_own_counts_as_another_instance(program, collector):
    """Over a connection of its own: its parent's would break."""
    program(
        CALL
        + """
    import os

    dispatch.telemetry.flush(timeout=20)
    child = os.fork()
    for number in range(4 if child == 0 else 1):
        double.delay(number).result(timeout=5)
    dispatch.telemetry.flush(timeout=20)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    """,
        **collector.environment,
    )

    parent = collector.measured[0]
    children = [each for each in collector.measured if each.instance != parent.instance]
    assert [4] == [each.dispatched for each in children]
    assert parent.peer not in {each.peer for each in children}
    assert 2 == max(each.dispatched for each in collector.measured if each.instance == parent.instance)


def test_a_child_of_multiprocessing_hands_on_its_own(program):
    """It ends without atexit, but not without its finalizers; its counts begin at zero."""
    said = program(
        CALL
        + """
    import multiprocessing

    def work():
        for number in range(5):
            double.delay(number).result(timeout=5)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    """,
        OTEL_METRICS_EXPORTER="console",
    )

    _, child, parent = said.split('"dispatch.calls.completed"')
    assert '"value": 5' in child.split('"name"')[0]
    assert '"value": 1' in parent.split('"name"')[0]


def test_a_meter_provider_that_is_already_there_stays(monkeypatch):
    """It is used, and that is all there is to say."""
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    readings = Readings()
    with meters_in_place(readings.provider):
        assert not telemetry.setup()
        assert readings.value("dispatch.process.memory") > 0


def test_a_meter_provider_that_is_set_after_setup_counts_the_first_call(program):
    """An application with its own metrics says so in the next line, and calls in the one after that."""
    said = program(
        """
        import dispatch
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        dispatch.configure()
        dispatch.telemetry.setup()
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))

        @dispatch.task
        def double(number: int) -> int:
            return 2 * number

        double.delay(1).result(timeout=10)
        [resource] = reader.get_metrics_data().resource_metrics
        [scope] = resource.scope_metrics
        print(sorted(each.name for each in scope.metrics if each.name == "dispatch.calls.completed"))
        """,
        DISPATCH_POLICY="no-broker",
    )

    assert "['dispatch.calls.completed']" in said
