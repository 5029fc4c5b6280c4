"""Whether anybody takes metrics, and which provider that is."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from dispatch._call import Call
from dispatch._fork import renew_in_child
from dispatch._release import release
from dispatch.settings import Settings
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._names import SCHEMA_URL, SCOPE

# OpenTelemetry's metrics and what we do with them would be a tenth of what `import dispatch` costs; they are imported
# where there is a provider.
if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from dispatch.telemetry._metrics._books import Books
    from dispatch.telemetry._metrics._gauges import Figures, Held


class Meter:
    """Looks when the tracer's provider is looked for: once a second of calls. Without anybody, no call pays for it."""

    def __init__(self) -> None:
        self._by_provider: WeakKeyDictionary[MeterProvider, Books | None] = WeakKeyDictionary()
        self._looking = threading.Lock()
        self._figures: tuple[Figures, ...] = ()
        self.books: Books | None = None
        """Of the provider that is in place; `None`: nobody listens."""

    def gauge(self, figures: Figures) -> None:
        """Have whoever collects told what `figures` say, from now on."""
        self._figures = (*self._figures, figures)

    def look(self, settings: Callable[[], Settings]) -> None:
        """Ask again, now. `settings` are read where there is a provider. Never raises, and waits for nobody."""
        if not self._looking.acquire(blocking=False):
            return  # somebody else is looking
        try:
            before, self.books = self.books, None
            with harmless:
                self.books = self._find(settings)
            if before is not None and before is not self.books:
                before.close()
        finally:
            self._looking.release()

    def hold(self) -> None:
        """Before a fork."""
        for books in self._all():
            books.hold()

    def let_go(self) -> None:
        """In the parent, after it."""
        for books in self._all():
            books.let_go()

    def renew(self) -> None:
        """In a forked child. A thread comes with the next look."""
        self._looking = threading.Lock()
        for books in self._all():
            books.renew()

    def _find(self, settings: Callable[[], Settings]) -> Books | None:
        provider = meter_provider()
        if provider is None:
            return None
        said = settings()
        if said.telemetry == "off" or said.metrics == "off":
            return None
        if provider not in self._by_provider:
            from opentelemetry.metrics import NoOpMeter  # noqa: PLC0415 - see above

            from dispatch.telemetry._metrics._books import Books  # noqa: PLC0415 - see above

            made = provider.get_meter(SCOPE, release(), SCHEMA_URL)
            # What the SDK gives under OTEL_SDK_DISABLED.
            self._by_provider[provider] = None if isinstance(made, NoOpMeter) else Books(made, self._held)
        books = self._by_provider[provider]
        if books is not None:
            books.open(said.metrics)
        return books

    def _all(self) -> list[Books]:
        return [each for each in list(self._by_provider.values()) if each is not None]

    def _held(self) -> list[Mapping[str, Held]]:
        return [held for figures in self._figures for held in figures()]


def meter_provider() -> MeterProvider | None:
    """The global one, if there is any behind the API."""
    if "opentelemetry.metrics" not in sys.modules and "OTEL_PYTHON_METER_PROVIDER" not in os.environ:
        return None  # nobody can have set one
    from opentelemetry import metrics  # noqa: PLC0415 - see above

    provider = metrics.get_meter_provider()
    # By name: OpenTelemetry keeps to itself the class that it shows of tracers.
    nobody = isinstance(provider, metrics.NoOpMeterProvider) or type(provider).__name__ == "_ProxyMeterProvider"
    return None if nobody else provider


def gauge(figures: Figures) -> None:
    """Have whoever takes metrics told what `figures` say, from now on."""
    meter.gauge(figures)


def started(call: Call) -> None:
    """Another process says when it began to run `call`, whose start may have been predicted. Never raises."""
    books = meter.books
    if books is not None and books.histograms is not None:
        with harmless:
            books.histograms.started(call.decision, call.start_ns)


meter = Meter()
os.register_at_fork(before=meter.hold, after_in_parent=meter.let_go)
renew_in_child(meter.renew)
