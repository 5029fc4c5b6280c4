"""The `map {task}` span: many calls at once, from the first item that is drawn until the last one is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from types import TracebackType

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, get_current_span, set_span_in_context

from dispatch.errors import DispatchError
from dispatch.telemetry import _names as n
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail, kind_of
from dispatch.telemetry._listener import listener


class MapSpan:
    """Current for the length of a `with`, so that each call is below it. Never raises; nothing when nobody listens."""

    __slots__ = ("_span", "_tally", "_task", "_token")

    def __init__(self, task_name: str, tally: Callable[[], tuple[int, Mapping[str, int]]]) -> None:
        """`tally` is asked at the end: how many items were drawn, and how many calls each destination has."""
        self._task = task_name
        self._tally = tally
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        tracer = listener.current()
        if tracer is None:
            return
        with harmless:
            if listener.drops(get_current_span().get_span_context()):
                return
            self._span = tracer.start_span(f"map {self._task}", attributes={n.TASK: self._task})
            # Also one that is not recorded: the calls follow its decision instead of each drawing a lot.
            self._token = attach(set_span_in_context(self._span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        span, token = self._span, self._token
        if token is not None:
            detach(token)
        if span is None:
            return
        with harmless:
            if span.is_recording():
                self._conclude(span, error)
        with harmless:
            span.end()

    def _conclude(self, span: Span, error: BaseException | None) -> None:
        drawn, calls = self._tally()
        most_used = sorted(calls.items(), key=lambda each: -each[1])
        span.set_attributes(
            {
                n.MAP_CALLS: drawn,
                n.MAP_SENT: sum(calls.values()),
                n.MAP_DESTINATIONS: [f"{name}:{number}" for name, number in most_used],
            }
        )
        if error is not None:
            fail(span, kind_of(error), str(error) if isinstance(error, DispatchError) else None)
