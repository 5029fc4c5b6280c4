"""All traces of a directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from dispatch.telemetry._reading.call_record import CallRecord, record_of, sides_of
from dispatch.telemetry._reading.files import Files
from dispatch.telemetry._reading.otlp_json import spans as spans_of
from dispatch.telemetry._reading.span import Span
from dispatch.telemetry._reading.trace import Trace


class Traces:
    """Traces in the order in which they began."""

    def __init__(self, spans: Iterable[Span], *, files: int = 0, damaged: int = 0, first_damage: str = "") -> None:
        by_trace: dict[str, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id, []).append(span)
        self._traces = sorted(map(Trace, by_trace.values()), key=lambda trace: trace.start_ns)
        self._by_id = {trace.id: trace for trace in self._traces}
        # A call may run in another trace than it was made in.
        self._later = sides_of(self._spans())
        self._calls = {span.call_id: span for span in self._spans() if span.is_call}
        self.files = files
        self.damaged = damaged
        """Lines that could not be read, and were left out: torn, foreign, or no text at all."""
        self.first_damage = first_damage
        """The first of them: file, line and what is wrong."""

    def __iter__(self) -> Iterator[Trace]:
        return iter(self._traces)

    def __len__(self) -> int:
        return len(self._traces)

    def find(self, prefix: str) -> list[Trace]:
        """Every trace whose id begins with `prefix`; where there is none, that of the call with this id."""
        prefix = prefix.lower()
        found = [trace for trace in self._traces if trace.id.startswith(prefix)]
        if not found and (call := self._calls.get(prefix) or next(iter(self._later.get(prefix, ())), None)):
            found = [self._by_id[call.trace_id]]
        return found

    def calls(self) -> Iterator[CallRecord]:
        """One record for each call, trace by trace, with its run wherever it is."""
        for trace in self._traces:
            yield from self.calls_of(trace)

    def calls_of(self, trace: Trace) -> Iterator[CallRecord]:
        """One record for each call that was made in `trace`, with its run wherever it is."""
        for span in trace.spans:
            if span.is_call:
                yield record_of(span, self._later.get(span.call_id, ()))

    def runs_of(self, trace: Trace) -> Iterator[CallRecord]:
        """One record for each call that ran in `trace` and was made elsewhere, as far as its run tells."""
        here = {span.call_id for span in trace.spans if span.is_call}
        for call_id, later in sides_of(trace.spans).items():
            if call_id not in here:
                yield record_of(None, later)

    def continued(self, trace: Trace, *, most: int = 32) -> Trace:
        """`trace` with the traces in which its calls ran: each below the span that it is linked to, or the call's.

        Their own calls are followed too, over `most` traces at most. Where there are none, it is `trace` itself.
        """
        linked = self._linked()
        seen = {trace.id}
        below: list[tuple[Span, Trace]] = []
        spans = list(trace.spans)
        for span in spans:  # it grows
            for other in linked.get((span.trace_id, span.span_id), ()):
                if other.trace_id not in seen and len(below) < most:
                    seen.add(other.trace_id)
                    below.append((span, self._by_id[other.trace_id]))
                    spans.extend(self._by_id[other.trace_id].spans)
        return trace.with_below(below) if below else trace

    def _linked(self) -> dict[tuple[str, str], list[Span]]:
        """By the trace id and span id of what they belong to, spans of calls, whichever trace they are in."""
        known = {(span.trace_id, span.span_id) for span in self._spans()}
        found: dict[tuple[str, str], list[Span]] = {}
        for span in self._spans():
            call = self._calls.get(span.call_id)
            if call is not None:
                # A link may lead to a span that nobody has recorded; the call's own is then the next best.
                above = next((link for link in span.links if link in known), (call.trace_id, call.span_id))
                found.setdefault(above, []).append(span)
        return found

    def _spans(self) -> Iterator[Span]:
        return chain.from_iterable(trace.spans for trace in self._traces)


def read(place: str | Path) -> Traces:
    """Read every trace file in the directory `place`, or the file `place`. What is damaged is counted, not raised.

    A directory that does not exist holds no traces.
    """
    files = Files(place)
    spans = list(files.read(spans_of))
    return Traces(spans, files=len(files.paths), damaged=files.damaged, first_damage=files.first_damage)
