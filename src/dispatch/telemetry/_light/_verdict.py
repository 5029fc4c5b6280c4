"""What a sampler of the SDK would say about a span, without all that it makes for saying so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanContext

Verdict: TypeAlias = Callable[[SpanContext | None, int], bool]
"""Whether the span with this parent and in this trace is sampled."""


def verdict_of(sampler: Sampler) -> Verdict | None:
    """What `sampler` says; `None` for any but the SDK's own, and for one that records what it does not sample."""
    kind = type(sampler)
    if kind is StaticSampler:
        static = {Decision.DROP: _never, Decision.RECORD_AND_SAMPLE: _always}
        return static.get(_inside(sampler, "decision"))
    if isinstance(sampler, TraceIdRatioBased) and kind is TraceIdRatioBased:
        bound = sampler.bound
        return lambda _, trace_id: trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < bound
    return _verdict_by_parent(sampler) if kind in (ParentBased, ParentBasedTraceIdRatio) else None


def drops_below_unsampled(sampler: object) -> bool:
    """Whether no child of an unsampled parent is ever sampled: the parent-based sampler with its usual delegates."""
    return isinstance(sampler, ParentBased) and all(
        verdict_of(_inside(sampler, f"{whose}_parent_not_sampled")) is _never for whose in ("local", "remote")
    )


def _always(_: SpanContext | None, _trace_id: int) -> bool:
    return True


def _never(_: SpanContext | None, _trace_id: int) -> bool:
    return False


def _verdict_by_parent(sampler: Sampler) -> Verdict | None:
    root = verdict_of(_inside(sampler, "root"))
    delegates = {
        (remote, sampled): verdict_of(_inside(sampler, f"{whose}_parent_{what}"))
        for remote, whose in ((False, "local"), (True, "remote"))
        for sampled, what in ((False, "not_sampled"), (True, "sampled"))
    }
    if root is None or None in delegates.values():
        return None

    def verdict(parent: SpanContext | None, trace_id: int) -> bool:
        chosen = root if parent is None else delegates[parent.is_remote, parent.trace_flags.sampled]
        return chosen is not None and chosen(parent, trace_id)

    return verdict


def _inside(sampler: Sampler, name: str) -> Any:
    """What a sampler was made with, and does not tell."""
    return getattr(sampler, f"_{name}")
