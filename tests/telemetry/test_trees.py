"""Spans become trees, whatever order and whatever company they are read in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatch.telemetry.traces import Process, Span, Trace

HERE, THERE = Process("shop", 1), Process("worker", 2)


def span(number, parent=0, *, start=None, end=None, process=HERE, **changes):
    start = number if start is None else start
    return Span(
        trace_id="ab" * 16,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=f"span {number}",
        start_ns=start,
        end_ns=start + 10 if end is None else end,
        process=process,
        **changes,
    )


def shape(trace):
    return [(len(path), int(each.span_id, 16)) for each, path in trace.walk()]


def test_children_stand_below_their_parent_in_the_order_they_started():
    """However they were read."""
    trace = Trace([span(4, 2), span(3, 1), span(2, 1), span(1)])

    assert [(0, 1), (1, 2), (2, 4), (1, 3)] == shape(trace)


def test_what_starts_together_is_ordered_from_the_outside_in():
    """The longer one first."""
    trace = Trace([span(1), span(3, 1, start=5, end=9), span(2, 1, start=5, end=50)])

    assert [(0, 1), (1, 2), (1, 3)] == shape(trace)


def test_an_orphan_stands_at_the_root():
    """Its parent is in a file that nobody gave us; the whole is still shown."""
    trace = Trace([span(5, parent=99), span(7, 5), span(6)])

    assert [(0, 5), (1, 7), (0, 6)] == shape(trace)
    assert "span 6" == trace.root.name


def test_when_all_are_orphans_the_first_is_the_root():
    """The worker's file alone."""
    assert "span 5" == Trace([span(6, 99), span(5, 98)]).root.name


def test_a_span_that_was_read_twice_is_one():
    """A file and a copy of it."""
    assert [(0, 1), (1, 2)] == shape(Trace([span(1), span(2, 1), span(2, 1), span(1)]))


def test_spans_that_are_each_other_s_parents_are_shown_once():
    """No tree can hold them, and no reader may hang on them."""
    trace = Trace([span(1), span(2, 4), span(3, 2), span(4, 3), span(5, 5)])

    assert [(0, 1), (0, 2), (1, 3), (2, 4), (0, 5)] == shape(trace)


def test_a_chain_deeper_than_the_stack_is_walked():
    """Ten thousand levels."""
    trace = Trace([span(number, number - 1) for number in range(1, 10_001)])

    assert (9_999, 10_000) == shape(trace)[-1]


def test_the_path_says_at_each_level_whether_it_is_the_last_child():
    """What a drawing needs for its lines."""
    trace = Trace([span(1), span(2, 1), span(3, 1), span(4, 2)])

    assert [(), (False,), (False, True), (True,)] == [path for _, path in trace.walk()]


def test_a_trace_lasts_from_its_first_start_to_its_last_end():
    """Which may be a child's, in another process."""
    trace = Trace([span(1, start=100, end=200), span(2, 1, start=150, end=900, process=THERE)])

    assert (100, 800) == (trace.start_ns, trace.duration_ns)
    assert (HERE, THERE) == trace.processes
    assert ("shop", "worker") == trace.services


def test_an_end_before_the_start_is_no_negative_time():
    """A foreign clock was stepped."""
    assert 0 == span(1, start=100, end=50).duration_ns
    assert 0 == Trace([span(1, start=100, end=50)]).duration_ns


def test_one_red_span_makes_a_failed_trace():
    """Wherever in the tree."""
    assert not Trace([span(1)]).failed
    assert Trace([span(1), span(2, 1, status="error")]).failed


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 14), st.integers(0, 5)), min_size=1, max_size=20))
def test_every_span_is_shown_exactly_once_whatever_the_parents_are(edges):
    """Trees, orphans, circles, copies, in any order."""
    trace = Trace([span(number, parent, start=start) for number, parent, start in edges])

    shown = [each.span_id for each, _ in trace.walk()]
    assert len(shown) == len(set(shown))
    assert {f"{number:016x}" for number, _, _ in edges} == set(shown)
