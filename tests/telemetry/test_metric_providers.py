"""Who takes metrics: found late, followed when it changes, and nothing is paid without it."""

from __future__ import annotations

import logging
import os
import threading

import pytest
from opentelemetry import metrics
from opentelemetry.metrics import _internal as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from dispatch._clock import ticks
from dispatch._recorder import recorder
from dispatch.settings import Settings
from dispatch.telemetry import _meter, follow, recording
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from servers.patience import eventually
from telemetry.metered import Readings, end, meters_in_place

COMPLETED = "dispatch.calls.completed"


def listeners() -> int:
    return len(recorder._told)


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "dispatch-metrics"]


def test_without_a_provider_nobody_is_told_of_a_call():
    """The recorder's ring is all that a call meets."""
    with meters_in_place(None):
        assert 0 == listeners()
        assert recorder._ring.append == recorder.note
        assert _meter.meter.books is None


@pytest.mark.parametrize("provider", [metrics.NoOpMeterProvider(), api._PROXY_METER_PROVIDER])
def test_a_provider_that_does_nothing_is_nobody(provider):
    """It would cost each call for figures that go nowhere."""
    with meters_in_place(provider):
        assert 0 == listeners()


def test_a_disabled_sdk_is_nobody_and_is_not_asked_every_second(monkeypatch):
    """OTEL_SDK_DISABLED gives a meter that makes nothing."""
    asked = []

    class Counted(MeterProvider):
        def get_meter(self, *args, **kwargs):
            asked.append(1)
            return super().get_meter(*args, **kwargs)

    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with meters_in_place(Counted(shutdown_on_exit=False)):
        listener.look()
        assert 0 == listeners()
    assert [1] == asked


@pytest.mark.parametrize("setting", [{"telemetry": "off"}, {"metrics": "off"}])
def test_settings_switch_metrics_off_whatever_the_application_has(readings, setting):
    """DISPATCH_TELEMETRY=off, DISPATCH_METRICS=off; and on again."""
    follow(Settings(**setting))
    end()
    assert (0, {}) == (listeners(), {name: points for name, points in readings.metrics().items() if points})

    follow(Settings())
    end()
    assert 1 == readings.value(COMPLETED)


def test_switching_spans_off_leaves_metrics_on(readings, spans):
    """DISPATCH_TRACE_DETAIL=off is about spans."""
    follow(Settings(trace_detail="off"))
    end()

    assert not recording(ticks())
    assert 1 == readings.value(COMPLETED)


def test_a_provider_that_comes_later_is_found_within_a_second(monkeypatch):
    """Calls before that are not in it."""
    readings = Readings()
    with meters_in_place(None):
        recording(ticks())
        end()
        monkeypatch.setattr(api, "_METER_PROVIDER", readings.provider)
        recording(ticks())
        end()
        assert 0 == listeners()

        listener._due = 0  # a second passes
        recording(ticks())
        end()

        assert 1 == readings.value(COMPLETED)


def test_looking_often_registers_once(readings):
    """Every second of calls looks."""
    for _ in range(5):
        listener.look()
    end()

    assert 1 == listeners()
    assert 1 == readings.value(COMPLETED)
    eventually(lambda: 1 == len(threads()))


def test_another_provider_takes_the_place_of_the_one_before(readings):
    """Each has the calls of its own time, and the first, which may still be read, says no more."""
    other = Readings()
    end()
    assert 1 == readings.value(COMPLETED)
    with meters_in_place(other.provider):
        end()
        end()
        assert 1 == listeners()
        assert [] == readings.points("dispatch.process.memory")
        assert 2 == other.value(COMPLETED)
    end()

    assert 2 == readings.value(COMPLETED)


def test_instruments_are_made_once_for_a_provider_that_comes_back(readings, caplog):
    """The SDK warns of a second one of the same name."""
    with meters_in_place(None):
        pass
    with meters_in_place(readings.provider):
        follow(Settings(metrics="all"))
        follow(Settings(metrics="counters"))
        follow(Settings())
        end()

        assert 1 == readings.value(COMPLETED)
        assert 1 == readings.count("dispatch.task.duration")
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_how_much_is_measured_is_the_settings_word(readings):
    """Counters cost the least; some histograms few people need."""
    follow(Settings(metrics="counters"))
    end()
    assert {"dispatch.call.duration", "dispatch.decision.duration"}.isdisjoint(readings.metrics())

    follow(Settings(metrics="default"))
    end()
    assert 1 == readings.count("dispatch.call.duration")
    assert "dispatch.decision.duration" not in readings.metrics()

    follow(Settings(metrics="all"))
    end()
    assert 2 == readings.count("dispatch.call.duration")
    assert 1 == readings.count("dispatch.decision.duration")
    assert 3 == readings.value(COMPLETED)


def test_a_provider_that_raises_is_nobody_and_is_asked_again(failures):
    """Counted; no call hears of it."""

    class Shy(MeterProvider):
        shy = True

        def get_meter(self, *args, **kwargs):
            if self.shy:
                raise RuntimeError("not today")
            return super().get_meter(*args, **kwargs)

    provider = Shy(shutdown_on_exit=False)
    with meters_in_place(provider):
        end()
        assert (0, 1) == (listeners(), failures())
        provider.shy = False
        listener.look()
        assert 1 == listeners()


def test_a_provider_whose_instruments_raise_is_nobody(failures):
    """Half of them is none."""

    class Broken(MeterProvider):
        def get_meter(self, *args, **kwargs):
            meter = super().get_meter(*args, **kwargs)
            meter.create_observable_gauge = None
            return meter

    with meters_in_place(Broken(shutdown_on_exit=False)):
        end()
        assert 0 == listeners()
    assert failures() >= 1


def test_a_histogram_that_raises_costs_the_call_nothing(failures):
    """Neither the worker's thread nor the collection."""

    class Hot:
        def record(self, *args):
            raise OSError("burnt")

    class Burning(MeterProvider):
        def get_meter(self, *args, **kwargs):
            meter = super().get_meter(*args, **kwargs)
            meter.create_histogram = lambda *args, **kwargs: Hot()
            return meter

    readings = Readings()
    readings.reader = InMemoryMetricReader()
    provider = Burning([readings.reader], shutdown_on_exit=False)
    before = harmless.noted
    with meters_in_place(provider):
        end()
        assert 1 == readings.value(COMPLETED)
        assert failures() == readings.value("dispatch.telemetry.failures") - before
    assert failures() >= 1


def test_a_forked_child_gets_a_thread_of_its_own(readings):
    """The parent's is not there; the child's comes with its next look."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        before = len(threads())
        listener.look()
        os.write(theirs, f"{before} {len(threads())}".encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert b"0 1" == os.read(mine, 10)


def test_a_fork_waits_for_the_measurement_that_is_under_way(readings, monkeypatch):
    """In the child nobody would ever open the lock that the SDK holds meanwhile."""
    of_the_sdk, begun, patience = threading.Lock(), threading.Event(), threading.Event()

    def record(_):
        with of_the_sdk:
            begun.set()
            patience.wait(0.3)

    monkeypatch.setattr(_meter.meter.books._backlog, "_record", record)
    end()
    assert begun.wait(5)
    child = os.fork()
    if child == 0:
        os._exit(0 if of_the_sdk.acquire(timeout=0.1) else 1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    end()
    assert 2 == readings.value(COMPLETED)  # the parent goes on


def test_the_thread_ends_with_the_provider(readings):
    """Nobody waits for it."""
    eventually(lambda: 1 == len(threads()))
    with meters_in_place(None):
        eventually(lambda: not threads(), within=5.0)


def test_many_threads_that_look_at_once_make_one_set_of_books(monkeypatch):
    """A second has passed for all of them."""
    readings = Readings()
    with meters_in_place(None):
        monkeypatch.setattr(api, "_METER_PROVIDER", readings.provider)
        barrier = threading.Barrier(8)

        def look():
            barrier.wait()
            listener.look()

        lookers = [threading.Thread(target=look) for _ in range(8)]
        for each in lookers:
            each.start()
        for each in lookers:
            each.join()
        end()

        assert 1 == listeners()
        assert 1 == readings.value(COMPLETED)


def test_importing_telemetry_does_not_import_the_sdk_of_metrics():
    """Only those who measure need it."""
    import subprocess
    import sys

    code = "import dispatch, sys; sys.exit('opentelemetry.sdk.metrics' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
