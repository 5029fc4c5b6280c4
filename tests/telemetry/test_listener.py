"""Who listens: asked rarely, cheap when nobody does."""

from __future__ import annotations

import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch._outcome import Success
from dispatch.settings import Settings
from dispatch.telemetry import messages
from dispatch.telemetry._listener import listener
from telemetry.handmade import Spans, a_call, provider_in_place, run


def test_without_an_sdk_nothing_is_recorded(nobody_listens):
    """Every door answers at once, with nothing."""
    call = a_call()

    assert not telemetry.recording(ticks())
    assert telemetry.executing(call) is None
    assert (
        messages.processing("t", {}, call_id="1", queue="q", system="redis", durability="ephemeral", attempt=1, taken=1)
        is None
    )
    telemetry.dispatched(call, ValueError("nobody hears this"))
    assert call.span is None


def test_with_a_provider_in_place_spans_are_taken(spans):
    """The application set one up; that is all it has to do."""
    assert telemetry.recording(ticks())


def test_a_provider_that_comes_later_is_found_within_a_second(nobody_listens, monkeypatch):
    """The answer is kept for a second, and not for ever."""
    assert not telemetry.recording(ticks())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(shutdown_on_exit=False))
    assert not telemetry.recording(ticks())

    listener._due = 0  # a second passes

    assert telemetry.recording(ticks())


@pytest.mark.parametrize("provider", [trace.NoOpTracerProvider(), trace.ProxyTracerProvider()])
def test_a_provider_that_does_nothing_is_nobody(provider):
    """It would cost time stamps and attributes for spans that go nowhere."""
    with provider_in_place(provider):
        assert not telemetry.recording(ticks())


def test_a_disabled_sdk_is_nobody(monkeypatch):
    """OTEL_SDK_DISABLED gives a tracer that makes nothing."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with provider_in_place(TracerProvider(shutdown_on_exit=False)):
        assert not telemetry.recording(ticks())


def test_the_setting_switches_spans_off_whatever_the_application_has(monkeypatch):
    """DISPATCH_TELEMETRY=off."""
    monkeypatch.setenv("DISPATCH_TELEMETRY", "off")
    spans = Spans()
    with provider_in_place(spans.provider):
        assert telemetry.executing(a_call()) is None
    assert [] == spans.finished


def test_settings_given_in_code_win_over_the_environment(spans):
    """A dispatcher hands its settings on with `follow`."""
    telemetry.follow(Settings(telemetry="off"))

    assert not telemetry.recording(ticks())


def test_settings_that_cannot_be_read_switch_spans_off_and_raise_nothing(monkeypatch, failures):
    """Whoever makes the dispatcher hears of them; a call does not."""
    monkeypatch.setenv("DISPATCH_TELEMETRY", "perhaps")
    with provider_in_place(TracerProvider(shutdown_on_exit=False)):
        assert not telemetry.recording(ticks())
    assert 1 == failures()


def test_a_provider_that_raises_is_nobody(failures):
    """Counted; the next second asks again."""

    class Broken(trace.TracerProvider):
        def get_tracer(self, *args, **kwargs):
            raise RuntimeError("not today")

    with provider_in_place(Broken()):
        assert not telemetry.recording(ticks())
    assert failures() >= 1


def test_the_first_failure_is_logged_and_the_others_are_only_counted(monkeypatch, caplog):
    """One line is enough to find the cause."""
    from dispatch.telemetry._failures import _Harmless

    harmless = _Harmless()
    for number in range(3):
        with harmless:
            raise OSError(f"disk {number}")

    assert 3 == harmless.noted
    [record] = caplog.records
    assert "disk 0" in caplog.text
    assert "dispatch.telemetry" == record.name


def test_an_interrupt_is_not_telemetry_s_to_swallow():
    """Ctrl-C during an export is still Ctrl-C."""
    from dispatch.telemetry._failures import harmless

    with pytest.raises(KeyboardInterrupt), harmless:
        raise KeyboardInterrupt


def test_flush_asks_the_provider(spans):
    """Within the time given, in milliseconds as the SDK counts."""
    asked = []
    spans.provider.force_flush = asked.append

    telemetry.flush(timeout=1.5)

    assert [1500] == asked


def test_flush_without_a_provider_is_nothing(nobody_listens):
    """Neither an error nor a wait."""
    telemetry.flush()


def test_flush_returns_in_time_from_a_provider_that_does_not():
    """The SDK's batch processor does not look at its timeout; we do."""
    from threading import Event

    released = Event()

    class Slow(TracerProvider):
        def force_flush(self, timeout_millis=30_000):
            return released.wait(30)

    with provider_in_place(Slow(shutdown_on_exit=False)):
        telemetry.flush(timeout=0.05)
    released.set()


def test_a_provider_that_is_set_after_the_dispatcher_was_made_sees_the_first_call(spans):
    """Making a dispatcher looks for nobody: the provider may come in the next line."""
    with provider_in_place(None):
        telemetry.follow(Settings())
        trace._TRACER_PROVIDER = spans.provider
        run(a_call())
    assert ["dispatch shop.resize", "execute shop.resize"] == spans.names


def test_flush_of_a_provider_that_raises_is_counted(failures):
    """At a worker's end there is nobody to raise to."""

    class Broken(TracerProvider):
        def force_flush(self, timeout_millis=30_000):
            raise OSError("gone")

    with provider_in_place(Broken(shutdown_on_exit=False)):
        telemetry.flush()
    assert 1 == failures()


def test_nobody_listening_costs_next_to_nothing(nobody_listens):
    """A cached answer: far below a microsecond; the bound leaves room for a busy machine."""
    from timeit import repeat

    call, done = a_call(), Success(None)

    def once():
        execution = telemetry.executing(call)
        if execution is not None:
            execution.end(done)

    assert min(repeat(once, number=10_000, repeat=5)) / 10_000 < 3e-6


def test_importing_telemetry_does_not_import_the_sdk():
    """It costs as much as the rest of the library, and only those who trace need it."""
    import subprocess

    code = "import dispatch.telemetry, sys; sys.exit('opentelemetry.sdk' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
