"""How often, and when, a call is attempted again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatch import Retry

MINUTE = 60 * 10**9


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "attempts=0: it takes a whole number from 1 on"),
        ({"attempts": 2.5}, ValueError, "attempts=2.5"),
        ({"attempts": True}, ValueError, "attempts=True"),
        ({"on": 404}, TypeError, "on=404: it takes a subclass of Exception"),
        ({"on": ()}, TypeError, r"on=\(\)"),
        ({"on": (ValueError, KeyboardInterrupt)}, TypeError, "it takes a subclass of Exception"),
        ({"backoff": "soon"}, ValueError, "backoff: 'soon' is not a duration"),
        ({"max_backoff": -1}, ValueError, "max_backoff: -1 is not a duration"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(words, error, message):
    """Where it is written, and not at the first failure."""
    with pytest.raises(error, match=message):
        Retry(**words)


def test_it_wants_another_attempt_after_the_errors_it_names_and_no_more_than_so_many():
    """Their subclasses count; the first attempt does too."""
    retry = Retry(attempts=3, on=(ConnectionError, LookupError))

    assert [True, True, False] == [retry.wants(ConnectionResetError(), attempt) for attempt in (1, 2, 3)]
    assert retry.wants(KeyError(), 1)
    assert not retry.wants(ValueError(), 1)
    assert not Retry(attempts=1).wants(ValueError(), 1)
    assert not Retry().wants(KeyboardInterrupt(), 1)


def test_the_pause_doubles_up_to_the_longest():
    """However many attempts there are."""
    retry = Retry(attempts=10_000, backoff="1m", max_backoff="5m", jitter=False)

    pauses = [retry.pause_ns(attempt) for attempt in (1, 2, 3, 4, 9_999)]

    assert [MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE, 5 * MINUTE] == pauses


def test_with_jitter_the_pause_is_anything_up_to_its_full_length():
    """So that calls that failed together do not come back together."""
    retry = Retry(backoff=timedelta(minutes=1))

    pauses = {retry.pause_ns(1) for _ in range(200)}

    assert len(pauses) > 100
    assert min(pauses) >= 0
    assert max(pauses) <= MINUTE


def test_a_pause_may_be_nothing_at_all():
    """`backoff="0"`."""
    assert {0} == {Retry(backoff="0").pause_ns(attempt) for attempt in range(1, 50)}
