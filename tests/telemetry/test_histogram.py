"""Numbers in buckets: what a percentile of them is worth."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.telemetry._reading.histogram import ERROR, Histogram

AMOUNTS = st.floats(1e-3, 1e15)
VALUES = st.lists(AMOUNTS | AMOUNTS.map(lambda each: -each) | st.just(0.0), min_size=1, max_size=200)


def of(values):
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@given(VALUES, st.floats(0.001, 1))
def test_a_percentile_is_off_by_no_more_than_one_percent_of_itself(values, share):
    """Of a thousandth of a microsecond or of a century, before or after what was predicted."""
    exact = sorted(values)[ceil(share * len(values)) - 1]

    assert pytest.approx(exact, rel=ERROR * 1.000001) == of(values).quantile(share)


@given(VALUES, VALUES)
def test_two_merged_are_as_if_all_had_been_added_to_one(some, others):
    """Nobody sees who counted."""
    merged, whole = of(some), of(some + others)
    merged.merge(of(others))

    assert list(whole.buckets()) == list(merged.buckets())
    assert (whole.count, whole.smallest, whole.largest) == (merged.count, merged.smallest, merged.largest)


def test_a_percentile_is_within_what_was_added():
    """Of one value it is that value."""
    assert 5000.0 == of([5000.0, 5000.0]).quantile(0.5)


def test_less_than_a_nanosecond_is_nothing():
    """The parts of a call are told in thousandths of a microsecond."""
    assert [(0.0, 3)] == list(of([0.0, 1e-4, -1e-4]).buckets())


def test_without_values_there_is_no_percentile():
    """And no division by zero."""
    assert Histogram().quantile(0.5) is None


def test_a_million_values_of_one_size_take_the_room_of_one():
    """As many buckets as the values are wide."""
    assert 1 == len(list(of([7.0] * 10_000).buckets()))
    assert len(list(of(range(1, 100_000)).buckets())) < 600
