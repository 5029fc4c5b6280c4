"""Who listens, in a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent

import pytest
from celery import Celery

from dispatch.telemetry._failures import harmless
from dispatch.transports.celery import build_app
from dispatch.transports.celery._registration import withdraw_from
from telemetry.handmade import Spans, provider_in_place
from telemetry.metered import Readings, meters_in_place


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the machine's variables nor its `.env` reach a test."""
    for name in (
        "DISPATCH_TELEMETRY",
        "DISPATCH_METRICS",
        "DISPATCH_TRACE_DIR",
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_EXPORTER",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nobody_listens():
    """No SDK."""
    with provider_in_place(None):
        yield


@pytest.fixture
def failures() -> Iterator[Callable[[], int]]:
    """How many failures were counted since the test began."""
    before = harmless.noted
    return lambda: harmless.noted - before


@pytest.fixture
def spans() -> Iterator[Spans]:
    """An SDK that samples everything, in place."""
    spans = Spans()
    with provider_in_place(spans.provider):
        yield spans
    spans.provider.shutdown()


@pytest.fixture
def readings() -> Iterator[Readings]:
    """An SDK that takes metrics, in place."""
    readings = Readings()
    with meters_in_place(readings.provider):
        yield readings
    readings.provider.shutdown()


@pytest.fixture
def program(tmp_path):
    """Runs a program in a folder of its own; returns what it printed, on either stream."""

    def run(code: str, *, status: int = 0, **environment: str) -> str:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "DISPATCH_"))}
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(code)],
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


@pytest.fixture
def leaving_app() -> Iterator[Callable[[str], Celery]]:
    """Makes apps by the address of their broker, which are taken out of the process after the test."""
    made: list[Celery] = []

    def make(broker_url: str) -> Celery:
        made.append(build_app(broker_url, None))
        return made[-1]

    yield make
    for app in made:
        withdraw_from(app)
        app.close()
