"""How long, how large, and how far off: one measurement for each call and histogram."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, set_span_in_context

from dispatch._decision import Decision
from dispatch._recorder import Finished
from dispatch.telemetry._fault import kind_of
from dispatch.telemetry._metrics import _table as m
from dispatch.telemetry._metrics._instruments import Instruments
from dispatch.telemetry._names import DESTINATION, ERROR_TYPE, RULE, TASK, TRANSPORT

_NS = 1e9
_PLACE = (DESTINATION, TRANSPORT)
_CALL = (TASK, DESTINATION, TRANSPORT)
_NOWHERE = set_span_in_context(INVALID_SPAN, Context())
"""Whoever collects may be inside a span of his own, which is none of the call's."""


class Histograms:
    """Of one provider. For one thread at a time, but for `started`."""

    def __init__(self, instruments: Instruments, *, every: bool) -> None:
        """`every`: those too that few people need."""
        self._call = _Series(instruments.histogram(m.CALL_DURATION), _CALL)
        self._wait = _Series(instruments.histogram(m.WAIT_DURATION), _PLACE)
        self._task = _Series(instruments.histogram(m.TASK_DURATION), (*_CALL, ERROR_TYPE))
        self._late = _Series(instruments.histogram(m.PREDICTION_LATE), _PLACE)
        self._early = _Series(instruments.histogram(m.PREDICTION_EARLY), _PLACE)
        self._decision = _Series(instruments.histogram(m.DECISION_DURATION), (RULE,)) if every else None
        self._payload = _Series(instruments.histogram(m.PAYLOAD_SIZE), _PLACE) if every else None

    def record(self, finished: Finished) -> None:
        """Whatever is known of it: a call that has left is heard of again where it runs."""
        decision, where = finished.decision, _context(finished.trace)
        if decision is not None and finished.entered and finished.decided:
            self._by_caller(finished, decision, where)
        # A message of somebody else's says nothing of a decision.
        place = (None, None) if decision is None else (decision.destination, decision.transport)
        # A quick worker has the call before its caller has noted that it was sent.
        sent = max(finished.sent or finished.decided, finished.due)
        if finished.taken and sent:
            self._wait.record(max(0, finished.taken - sent) / _NS, where, *place)
        if finished.started and finished.ended:
            word = None if finished.error is None else kind_of(finished.error)
            self._task.record(max(0, finished.ended - finished.started) / _NS, where, finished.spec.name, *place, word)

    def started(self, decision: Decision, start_ns: int | None, trace: SpanContext | None = None) -> None:
        """It took so long until a call's first line, which may have been predicted."""
        self._started(decision, start_ns, _context(trace))

    def _by_caller(self, finished: Finished, decision: Decision, where: Context) -> None:
        place = (decision.destination, decision.transport)
        sent = finished.sent or finished.taken
        if sent:
            self._call.record(max(0, sent - finished.entered) / _NS, where, finished.spec.name, *place)
        if self._decision is not None:
            self._decision.record(max(0, finished.decided - finished.entered) / _NS, where, decision.rule)
        if self._payload is not None and finished.payload is not None:
            self._payload.record(int(finished.payload), where, *place)
        if finished.started and finished.attempt == 1:
            self._started(decision, max(0, finished.started - max(finished.decided, finished.due)), where)

    def _started(self, decision: Decision, start_ns: int | None, where: Context) -> None:
        # Whoever found no room, and ran it himself, is nobody whose start was predicted.
        if decision.predicted_start_ns is None or start_ns is None or decision.transport == "inline":
            return
        error = start_ns - decision.predicted_start_ns
        series = self._late if error >= 0 else self._early
        series.record(abs(error) / _NS, where, decision.destination, decision.transport)


class _Series:
    """A histogram, and the combinations of attributes that it was given."""

    def __init__(self, histogram: Histogram, names: tuple[str, ...]) -> None:
        self._record = histogram.record
        self._names = names
        self._known: dict[tuple[str | None, ...], dict[str, str | bool]] = {}

    def record(self, value: float, where: Context, *words: str | None) -> None:
        attributes = self._known.get(words)
        if attributes is None:
            attributes = self._make(words)
        self._record(value, attributes, where)

    def _make(self, words: tuple[str | None, ...]) -> dict[str, str | bool]:
        if len(self._known) >= m.MOST:
            return {m.OVERFLOW: True}
        pairs = zip(self._names, words, strict=True)
        made = self._known[words] = {name: word for name, word in pairs if word is not None}
        return made


def _context(trace: SpanContext | None) -> Context:
    """By it the SDK knows which span a measurement belongs to, as an exemplar."""
    return _NOWHERE if trace is None else set_span_in_context(NonRecordingSpan(trace), Context())
