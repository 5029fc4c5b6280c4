"""Calls as their spans arrive: each is told once when it is over, and what is slow as it stands before."""

from __future__ import annotations

import pytest

from dispatch.telemetry._reading.joining import _MOST
from dispatch.telemetry._reading.otlp_json import spans
from dispatch.telemetry.traces import Joining
from telemetry.written import LOCAL, QUEUE, a_line, a_span, compact, handed, local, of, queued, ran

PATIENCE = 3


@pytest.fixture
def joining():
    return Joining(PATIENCE)


def arrive(joining, *made):
    """So these spans, and what is told after the next turn."""
    for span in spans(a_line(*made).encode()):
        joining.add(span)
    return told(joining)


def told(joining):
    return [(call.call_id, call.attempts, call.error) for call in joining.turn()]


@pytest.mark.parametrize("order", [1, -1])
def test_a_call_is_told_when_both_sides_are_there(joining, order):
    """Whichever came first, and once."""
    first, second = local("a-1")[::order]

    assert [] == arrive(joining, first)
    assert [("a-1", 1, None)] == arrive(joining, second)
    assert [[]] * 5 == [told(joining) for _ in range(5)]


def test_calls_are_told_in_the_order_in_which_they_were_made(joining):
    """Not in that of their ends."""
    assert ["a-1", "a-2"] == [call for call, _, _ in arrive(joining, *local("a-2", start=9), *local("a-1"))]


def test_a_compact_call_and_a_refused_one_have_one_side(joining):
    """Nothing is to be waited for."""
    nobody = a_span("dispatch shop.resize", of("a-2"), error="NotAccepted", start=1)

    assert [("a-1", 1, None), ("a-2", 0, "NotAccepted")] == arrive(joining, *compact("a-1"), nobody)


def test_a_call_that_is_not_over_is_told_as_it_stands_and_again_at_its_end(joining):
    """After some turns, and not at each of them."""
    made, published, run = queued("a-1")

    assert [] == arrive(joining, made, published)
    assert [[], [("a-1", 0, None)], [], [], []] == [told(joining) for _ in range(5)]
    assert [("a-1", 1, None)] == arrive(joining, run)


def test_a_call_that_is_repeated_is_told_again(joining):
    """After each attempt, with their number."""
    assert [("a-1", 1, "KeyError")] == arrive(joining, handed("a-1", QUEUE), ran("a-1", QUEUE, error="KeyError"))
    assert [[]] * 5 == [told(joining) for _ in range(5)]
    assert [("a-1", 2, None)] == arrive(joining, ran("a-1", QUEUE, start=900, attempt=2))
    assert [] == arrive(joining, handed("a-2"))


def test_a_dead_letter_is_told_when_it_becomes_one(joining):
    """After the failure that led to it."""
    arrive(joining, handed("a-1", QUEUE), ran("a-1", QUEUE, error="KeyError"))
    kept = a_span("dead-letter shop.resize", {**of("a-1"), "dead_letter": "failed"}, start=900, error="KeyError")

    for span in spans(a_line(kept).encode()):
        joining.add(span)
    assert ["failed"] == [call.dead_letter for call in joining.turn()]


def test_a_run_whose_caller_is_elsewhere_is_told_by_what_it_says(joining):
    """The worker's machine has its files alone."""
    assert [] == arrive(joining, ran("a-1", QUEUE))
    assert [[], [("a-1", 1, None)], []] == [told(joining) for _ in range(3)]


def test_an_impatient_turn_tells_all(joining):
    """With what is known of each."""
    for span in spans(a_line(handed("a-1"), ran("a-2", QUEUE)).encode()):
        joining.add(span)

    assert ["a-1", "a-2"] == [call.call_id for call in joining.turn(impatient=True)]
    assert [("a-1", 1, None)] == arrive(joining, ran("a-1", LOCAL))


def test_spans_of_others_are_no_calls(joining):
    """Nor are those of ours that tell of no call's side."""
    assert [] == arrive(joining, a_span("publish default", of("a-1")), a_span("GET /", scope="shop"))
    assert [[]] * 5 == [told(joining) for _ in range(5)]


def test_of_calls_that_never_end_the_oldest_are_forgotten(joining):
    """A worker whose files are elsewhere must not cost a watcher its memory."""
    arrive(joining, *(handed(f"a-{number}", QUEUE) for number in range(_MOST + 1)))

    assert [("a-1", 1, None)] == arrive(joining, ran("a-1", QUEUE))
    assert "a-0" not in {call for call, _, _ in arrive(joining, ran("a-0", QUEUE))}
