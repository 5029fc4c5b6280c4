"""Whether anybody takes spans, and the tracer to make them with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, NoOpTracerProvider, ProxyTracerProvider, SpanContext, Tracer

from dispatch._clock import ticks
from dispatch._recorder import recorder
from dispatch._release import release
from dispatch.settings import Settings
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._meter import meter, meter_provider
from dispatch.telemetry._names import SCHEMA_URL, SCOPE

if TYPE_CHECKING:
    from dispatch.telemetry._light._tracer import LightTracer

_SECOND = 1_000_000_000
_SILENT = Settings.model_construct(telemetry="off")


class Listener:
    """The answer, kept for a second: an application may set its provider up after its first call."""

    __slots__ = ("_due", "_settings", "_trusts_parent", "anchor", "detail", "light", "relation", "tracer")

    def __init__(self) -> None:
        self._due = 0
        self._settings: Settings | None = None
        self._trusts_parent = False
        self.anchor = Anchor()
        """Not a second old where `current()` was just asked: the clocks cannot have drifted apart by a microsecond."""
        self.detail = "full"
        """`DISPATCH_TRACE_DETAIL`."""
        self.relation: Literal["child", "link", "auto"] = "child"
        """`DISPATCH_TRACE_RELATION`."""
        self.light: LightTracer | None = None
        """`tracer`, where it is one."""
        self.tracer: Tracer | None = None
        """`None`: nobody listens. Ask `current()` rather than reading this, unless you just did."""

    def current(self) -> Tracer | None:
        if ticks() >= self._due:
            self.look()
        return self.tracer

    def look(self) -> None:
        """Ask again, now."""
        self.anchor = Anchor()
        self._due = self.anchor.ticks + _SECOND
        tracer = light = None
        self._trusts_parent = False
        with harmless:
            tracer = self._find()
            light = _lightened(tracer)
            self._trusts_parent = _parent_decides(tracer)
        self.light = light
        self.tracer = light or tracer
        meter.look(lambda: self.settings)

    def look_twice(self) -> None:
        """Ask now, and again at the next call: an application may say of the other provider in its next line."""
        self.look()
        self._due = 0

    def follow(self, settings: Settings | None) -> None:
        """Take the word of `settings`; `None`: of the environment, when it matters."""
        self._settings = settings
        self.look_twice()

    @property
    def settings(self) -> Settings:
        """What was given to `follow`, else the environment's, read once; where they cannot be read, all is off."""
        if self._settings is None:
            self._settings = _SILENT
            with harmless:
                self._settings = Settings()
        return self._settings

    @property
    def muted(self) -> bool:
        """`DISPATCH_TELEMETRY=off`."""
        return self.settings.telemetry == "off"

    def drops(self, parent: SpanContext) -> bool:
        """Whether a child of `parent` is certainly unsampled, so that asking would be work for nothing."""
        return self._trusts_parent and parent.is_valid and not parent.trace_flags.sampled

    def _find(self) -> Tracer | None:
        provider = trace.get_tracer_provider()
        if isinstance(provider, ProxyTracerProvider | NoOpTracerProvider):
            return None
        self.detail, self.relation = self.settings.trace_detail, self.settings.trace_relation
        if self.muted or self.detail == "off":
            return None
        tracer = provider.get_tracer(SCOPE, release(), SCHEMA_URL)
        if isinstance(tracer, NoOpTracer):  # what the SDK gives under OTEL_SDK_DISABLED
            return None
        return tracer


def _parent_decides(tracer: Tracer | None) -> bool:
    # Not imported on top, as below: a sampler of the SDK's has brought the SDK along.
    sampler = getattr(tracer, "sampler", None)
    if not type(sampler).__module__.startswith("opentelemetry.sdk."):
        return False
    from dispatch.telemetry._light._verdict import drops_below_unsampled  # noqa: PLC0415 - see above

    return drops_below_unsampled(sampler)


def _lightened(tracer: Tracer | None) -> LightTracer | None:
    # Not imported on top: without an application that traces, the SDK is not imported either.
    if type(tracer).__module__ == "opentelemetry.sdk.trace":
        with suppress(Exception):  # an SDK whose insides have changed: its own spans are as good, and dearer
            from dispatch.telemetry._light._tracer import lightened  # noqa: PLC0415 - see above

            return lightened(tracer)
    return None


listener = Listener()


def recording(now: int) -> bool:
    """Whether spans are taken `now`, which each local call knows anyway. The answer may be a second old."""
    # `current()`, written out: each local call asks this.
    return (listener.tracer if now < listener._due else listener.current()) is not None  # noqa: SLF001 - see above


def follow(settings: Settings) -> None:
    """Let what `settings` say of telemetry hold in this process, instead of the environment's."""
    listener.follow(settings)
    recorder.keep(settings.recorder)


def flush(timeout: float = 2.0) -> None:
    """Have the global providers hand on what they hold; waits `timeout` seconds at most and never raises."""
    flushes: list[Callable[[int], object]] = []
    for provider_of in (trace.get_tracer_provider, meter_provider):
        with harmless:
            provider: Any = provider_of()
            if hasattr(provider, "force_flush"):
                flushes.append(provider.force_flush)
    if not flushes:
        return

    def run() -> None:
        for force_flush in flushes:
            with harmless:
                force_flush(int(timeout * 1000))

    # The SDK's own batch processor does not look at the timeout, and an exporter may wait for a network.
    thread = threading.Thread(target=run, name="dispatch-flush", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # At interpreter exit no thread starts any more; flushing late is still better than not at all.
        run()
    else:
        thread.join(timeout)
