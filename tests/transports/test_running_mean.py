"""A mean of what was heard lately, on a clock that the test holds."""

from __future__ import annotations

import pytest

from dispatch.testing import clock
from dispatch.transports._running_mean import RunningMean

MS = 10**6


@pytest.fixture
def held():
    with clock() as held:
        yield held


def test_it_is_its_prior_until_something_is_heard(held):
    """However long that takes."""
    mean = RunningMean(2 * MS)
    held.advance("1h")

    assert 2 * MS == mean.value


def test_it_comes_to_what_is_heard_again_and_again(held):
    """Often or seldom."""
    for pause in ("1ms", "1s", "4s"):
        mean = RunningMean(2 * MS)
        for _ in range(6000 if pause == "1ms" else 40):
            held.advance(pause)
            mean.add(100 * MS)

        assert 100 * MS == pytest.approx(mean.value, rel=0.01), pause


def test_one_reading_moves_it_by_a_quarter_of_the_way_at_most(held):
    """A single slow start is no congestion."""
    mean = RunningMean(0)
    held.advance("1m")
    mean.add(100 * MS)

    assert 25 * MS == mean.value


def test_of_many_readings_none_counts_for_much(held):
    """A thousand a second, and one of them a second long."""
    mean = RunningMean(0)
    held.advance("1ms")
    mean.add(1000 * MS)

    assert 1 * MS == pytest.approx(mean.value, rel=0.01)


def test_silence_changes_nothing_for_five_seconds_and_then_it_fades(held):
    """With a time constant of ten seconds, to the prior and not beyond it."""
    mean = RunningMean(2 * MS)
    for _ in range(100):
        held.advance("1s")
        mean.add(102 * MS)
    before = mean.value
    held.advance("5s")
    assert before == mean.value

    held.advance("10s")
    assert 2 * MS + (before - 2 * MS) * 0.3679 == pytest.approx(mean.value, rel=0.001)
    held.advance("10m")
    assert 2 * MS == pytest.approx(mean.value, rel=1e-6)


def test_what_had_faded_does_not_come_back_with_the_next_reading(held):
    """Good news after a long silence is not averaged with an hour-old congestion."""
    mean = RunningMean(2 * MS)
    for _ in range(20):
        held.advance("1s")
        mean.add(5000 * MS)
    held.advance("10m")
    mean.add(2 * MS)

    assert 2 * MS == pytest.approx(mean.value, rel=0.001)
