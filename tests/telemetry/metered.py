"""A real SDK that keeps its metrics where a test can see them, and records of calls made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.metrics import MeterProvider as AnyProvider
from opentelemetry.metrics import _internal as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.util._once import Once

from dispatch._clock import ticks
from dispatch._ids import here
from dispatch._recorder import Finished, recorder
from dispatch.telemetry._listener import listener
from telemetry.handmade import SPEC, decision

_SHORT = {
    "task": "dispatch.task.name",
    "destination": "dispatch.destination",
    "transport": "dispatch.transport",
    "error": "error.type",
    "why": "dispatch.passed_over.why",
    "ledger": "dispatch.ledger.state",
    "spool": "dispatch.spool.state",
}


@contextmanager
def meters_in_place(provider: AnyProvider | None) -> Iterator[None]:
    """OpenTelemetry lets a process choose its provider once; a test run needs to choose again."""
    kept = api._METER_PROVIDER, api._METER_PROVIDER_SET_ONCE
    api._METER_PROVIDER, api._METER_PROVIDER_SET_ONCE = provider, Once()
    listener.follow(None)
    try:
        yield
    finally:
        api._METER_PROVIDER, api._METER_PROVIDER_SET_ONCE = kept
        listener.follow(None)


class Readings:
    """What an SDK provider is told; each question is a collection."""

    def __init__(self, **provider: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, **provider)

    def points(self, name: str, **attributes: str | bool) -> list[Any]:
        """The data points of a metric that have at least these attributes; `task=…` is short for their long names."""
        wanted = {_SHORT.get(key, key): value for key, value in attributes.items()}
        return [point for point in self.metrics().get(name, ()) if wanted.items() <= dict(point.attributes).items()]

    def value(self, name: str, **attributes: str | bool) -> float:
        """The sum of the values of these points."""
        return sum(point.value for point in self.points(name, **attributes))

    def count(self, name: str, **attributes: str | bool) -> int:
        """How many measurements there were."""
        return sum(point.count for point in self.points(name, **attributes))

    def attributes(self, name: str) -> list[dict[str, Any]]:
        """Of each of its points."""
        return [dict(point.attributes) for point in self.points(name)]

    def metrics(self) -> dict[str, list[Any]]:
        """All data points, by metric."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {
            metric.name: list(metric.data.data_points)
            for scope in scopes
            if scope.scope.name == "dispatch"
            for metric in scope.metrics
        }


def a_record(**changes: Any) -> Finished:
    """Of a local call that went well: 1 µs to decide, 2 to send, 10 of waiting, 100 of work."""
    now = ticks()
    told = {
        "spec": SPEC,
        "decision": decision(),
        "space": here.space,
        "number": here.space.number(),
        "told_id": None,
        "payload": None,
        "entered": now - 115_000,
        "decided": now - 114_000,
        "serialized": 0,
        "sent": now - 112_000,
        "taken": now - 102_000,
        "started": now - 101_000,
        "ended": now - 1_000,
        "due": 0,
        "attempt": 1,
        "error": None,
        "trace": None,
    }
    return Finished(**{**told, **changes})


def from_a_message(**changes: Any) -> Finished:
    """Of a call that came through Celery and ran here: nobody has decided anything here."""
    return a_record(**{"decision": CELERY, "entered": 0, "decided": 0, **changes})


def end(**changes: Any) -> None:
    """A call ends."""
    note(a_record(**changes))


def note(record: Finished) -> None:
    assert recorder.note is not None
    recorder.note(record)


NOT_RUN = {"taken": 0, "started": 0, "ended": 0}
CELERY = decision(destination="queue", transport="celery", durability="durable")
