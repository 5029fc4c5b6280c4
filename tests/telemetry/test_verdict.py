"""What a sampler would say, told without asking it: the same for every parent and trace."""

from __future__ import annotations

from itertools import product

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from dispatch.telemetry._light._verdict import drops_below_unsampled, verdict_of

DELEGATES = ("remote_parent_sampled", "remote_parent_not_sampled", "local_parent_sampled", "local_parent_not_sampled")
SAMPLERS = [
    ALWAYS_ON,
    ALWAYS_OFF,
    TraceIdRatioBased(0.5),
    ParentBasedTraceIdRatio(0.5),
    *(ParentBased(root) for root in (ALWAYS_ON, ALWAYS_OFF, TraceIdRatioBased(0.5))),
    *(ParentBased(ALWAYS_ON, **{name: said}) for name in DELEGATES for said in (ALWAYS_ON, ALWAYS_OFF)),
    ParentBased(ParentBased(ALWAYS_OFF), local_parent_not_sampled=TraceIdRatioBased(0.5)),
]
TRACES = (1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
PARENTS = (None, *product((False, True), (False, True)))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.get_description())
def test_the_verdict_is_the_sampler_s(sampler):
    """Roots, local and remote parents, sampled or not, trace ids on either side of a ratio."""
    verdict = verdict_of(sampler)
    for trace_id, parent in product(TRACES, PARENTS):
        context, above = Context(), None
        if parent is not None:
            remote, sampled = parent
            above = SpanContext(trace_id, 7, is_remote=remote, trace_flags=TraceFlags(sampled))
            context = set_span_in_context(NonRecordingSpan(above), context)
        asked = sampler.should_sample(context, trace_id, "run").decision
        assert asked.is_sampled() == verdict(above, trace_id), (trace_id, parent)


@pytest.mark.parametrize(
    "sampler",
    [StaticSampler(Decision.RECORD_ONLY), AlwaysRecordSampler(ALWAYS_OFF), ParentBased(AlwaysRecordSampler(ALWAYS_ON))],
    ids=["records only", "records all", "root records all"],
)
def test_of_a_sampler_that_records_what_it_does_not_sample_nothing_is_told(sampler):
    """There are spans that are recorded and not exported, which a light one cannot be."""
    assert verdict_of(sampler) is None


@pytest.mark.parametrize(
    ("sampler", "drops"),
    [
        (ParentBased(ALWAYS_ON), True),
        (ParentBasedTraceIdRatio(1.0), True),
        (ParentBased(ALWAYS_OFF, local_parent_not_sampled=ALWAYS_ON), False),
        (ParentBased(ALWAYS_OFF, remote_parent_not_sampled=TraceIdRatioBased(0.0)), False),
        (ALWAYS_OFF, False),
        (object(), False),
    ],
    ids=["usual", "ratio", "local", "remote", "never", "no sampler"],
)
def test_only_the_usual_parent_based_sampler_is_known_to_drop_what_is_below_an_unsampled_span(sampler, drops):
    """Whoever is not known is asked."""
    assert drops == drops_below_unsampled(sampler)
