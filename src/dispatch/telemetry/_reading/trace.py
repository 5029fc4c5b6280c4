"""The spans of one trace, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from dispatch.telemetry._reading.span import Process, Span


class Trace:
    """All spans with one trace id, whichever files and processes they come from."""

    def __init__(self, spans: Iterable[Span], *, trace_id: str = "") -> None:
        """`trace_id` names one that was put together from several."""
        # The same span may be read twice: from a file and from a copy of it.
        unique = {span.span_id: span for span in spans}
        self.spans = tuple(sorted(unique.values(), key=_by_start))
        """In the order in which they started; at least one."""
        self.id = trace_id or self.spans[0].trace_id
        self._children: dict[str, list[Span]] = {}
        self.roots = self._plant(unique)
        """Spans without a parent, and orphans: spans whose parent is not in the files."""

    @property
    def root(self) -> Span:
        """The first span without a parent, else the first orphan."""
        return next((span for span in self.roots if not span.parent_id), self.roots[0])

    @property
    def start_ns(self) -> int:
        return self.spans[0].start_ns

    @property
    def end_ns(self) -> int:
        return max(span.end_ns for span in self.spans)

    @property
    def duration_ns(self) -> int:
        """From the first start to the last end."""
        return max(0, self.end_ns - self.start_ns)

    @property
    def processes(self) -> tuple[Process, ...]:
        """In the order of their first spans."""
        return tuple(dict.fromkeys(span.process for span in self.spans))

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(span.process.service for span in self.spans))

    @property
    def failed(self) -> bool:
        """Whether any span did."""
        return any(span.status == "error" for span in self.spans)

    def children(self, span: Span) -> tuple[Span, ...]:
        return tuple(self._children.get(span.span_id, ()))

    def walk(self) -> Iterator[tuple[Span, tuple[bool, ...]]]:
        """Every span once, parents first, each with its path: for every level below the root, whether it is the
        last child of its parent. Its depth is the length of the path.
        """
        # A stack of our own: a hostile file may nest deeper than Python does.
        stack: list[tuple[Span, tuple[bool, ...]]] = [(root, ()) for root in reversed(self.roots)]
        while stack:
            span, path = stack.pop()
            yield span, path
            children = self._children.get(span.span_id, ())
            last = len(children) - 1
            stack.extend((child, (*path, at == last)) for at, child in reversed(list(enumerate(children))))

    def with_below(self, below: Iterable[tuple[Span, Trace]]) -> Trace:
        """This one together with others, each of which hangs below the span of ours that is given with it."""
        spans = list(self.spans)
        for above, other in below:
            roots = {root.span_id for root in other.roots}
            spans.extend(
                msgspec.structs.replace(span, parent_id=above.span_id) if span.span_id in roots else span
                for span in other.spans
            )
        return Trace(spans, trace_id=self.id)

    def _plant(self, known: dict[str, Span]) -> tuple[Span, ...]:
        roots = []
        for span in self.spans:
            if span.parent_id in known and span.parent_id != span.span_id:
                self._children.setdefault(span.parent_id, []).append(span)
            else:
                roots.append(span)
        # Spans that are each other's ancestors hang on no root: each circle is cut at its first span.
        seen: set[str] = set()
        for root in roots:
            self._see(root, seen)
        for span in self.spans:
            if span.span_id not in seen:
                roots.append(span)
                self._see(span, seen)
        return tuple(sorted(roots, key=_by_start))

    def _see(self, root: Span, seen: set[str]) -> None:
        below = [root]
        while below:
            span = below.pop()
            seen.add(span.span_id)
            if children := self._children.get(span.span_id):
                children[:] = [child for child in children if child.span_id not in seen]
                below.extend(children)


def _by_start(span: Span) -> tuple[int, int, str]:
    # What starts together: the longer one is the outer one.
    return span.start_ns, -span.end_ns, span.span_id
