"""How the span of a run belongs to its caller's: below it, or in a trace of its own that is linked to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from opentelemetry.trace import Link, SpanContext

from dispatch.telemetry._listener import listener

Relation: TypeAlias = Literal["child", "link"]

_MUCH_LATER_NS = 300 * 1_000_000_000
"""A trace that lasts longer is one that backends have closed already, and nobody finds its end any more."""


def relation_of(*, age_ns: int, attempt: int) -> Relation:
    """By `DISPATCH_TRACE_RELATION`; `auto` links what runs again, or much later than its call was made.

    `age_ns`: from `delay` to the run, held back, on disk or in a queue; 0 where nobody knows.
    """
    said = listener.relation
    if said == "auto":
        return "link" if attempt > 1 or age_ns > _MUCH_LATER_NS else "child"
    return said


def linked_to(origin: SpanContext) -> Sequence[Link]:
    """For a span that belongs to `origin` whether it is below it or not; none where that is nobody's."""
    return [Link(origin)] if origin.is_valid else ()
