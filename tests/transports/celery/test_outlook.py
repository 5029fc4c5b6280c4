"""What a Celery destination makes of what workers send back, on a clock that the test holds."""

from __future__ import annotations

import pytest

from callers import Caller, spec
from dispatch._call import CallOptions
from dispatch._requirements import Requirements
from dispatch.policy import parse
from dispatch.testing import clock
from dispatch.transports.celery._outlook import Outlook
from dispatch.transports.celery._report import Report, report_of
from policy.places import Made

MS = 10**6


@pytest.fixture
def held():
    with clock() as held:
        yield held


@pytest.fixture
def calls(closed_port):
    """Makes calls of a caller whose broker is not there, and is not asked."""
    return Caller(f"redis://127.0.0.1:{closed_port}/0").call


def a_call(calls, held, took_ns=1 * MS, **said):
    """One that was published just now, within `took_ns`."""
    call = calls("blue", **said)
    call.entered = call.decided = call.serialized = held.ticks()
    held.advance(took_ns / 1e9)
    call.sent = held.ticks()
    return call


def hear(outlook, calls, held, wait_ns, *, run_ns=1 * MS, **said):
    """A call that waits so long, runs so long, and is read at once."""
    call = a_call(calls, held, **said)
    held.advance((max(0, wait_ns - 1 * MS) + run_ns) / 1e9)
    outlook.started(call, Report(wait_ns, run_ns))
    return call


def test_before_anything_is_known_a_start_takes_two_milliseconds(held):
    """Half a millisecond to publish, and the rest until a worker has it."""
    outlook = Outlook()

    assert 2 * MS == outlook.start_ns()
    assert {"publish_ns": 500_000, "pickup_ns": 1_500_000, "heard": 0, "skewed": 0} == outlook.figures()


def test_waits_that_workers_report_raise_the_prediction_and_silence_lets_it_fall(held, calls):
    """A congested queue; then nobody sends there any more."""
    outlook = Outlook()
    for _ in range(20):
        hear(outlook, calls, held, 800 * MS)

    assert 800 * MS == pytest.approx(outlook.start_ns(), rel=0.01)
    held.advance("2m")
    assert 2 * MS == pytest.approx(outlook.start_ns(), rel=0.01)


def test_publishing_that_slows_down_counts_without_any_result(held):
    """For callers who read none."""
    outlook = Outlook()
    for _ in range(40):
        held.advance("1s")
        outlook.published(90 * MS)

    assert 91_500_000 == pytest.approx(outlook.start_ns(), rel=0.01)


def test_a_call_knows_when_it_started_once_its_worker_has_said_so(held, calls):
    """The fact beside the prediction."""
    call = hear(Outlook(), calls, held, 30 * MS)

    assert 30 * MS == call.started - call.serialized
    assert 30 * MS == pytest.approx(call.start_ns, rel=0.01)


def test_a_sender_whose_clock_is_ahead_is_not_answered_with_a_negative_wait(held, calls):
    """Counted, since the clocks want looking at."""
    outlook = Outlook()
    call = hear(outlook, calls, held, -5000 * MS)

    assert call.serialized == call.started
    assert 1 == outlook.skewed


def test_a_worker_whose_clock_is_ahead_cannot_report_more_than_the_sender_s_own_clock_allows(held, calls):
    """From the message to the result, less the time that the task ran."""
    outlook = Outlook()
    call = a_call(calls, held)
    held.advance("59ms")
    outlook.started(call, Report(wait_ns=3600 * 1000 * MS, run_ns=20 * MS))

    assert 40 * MS == call.started - call.serialized
    assert 1 == outlook.skewed


def test_a_result_that_is_read_late_says_nothing_about_now(held, calls):
    """The call gets its fact, the prediction stays."""
    outlook = Outlook()
    call = a_call(calls, held)
    held.advance("10m")
    outlook.started(call, Report(wait_ns=800 * MS, run_ns=1 * MS))

    assert 800 * MS == call.started - call.serialized
    assert (2 * MS, 1, 0) == (outlook.start_ns(), outlook.heard, outlook.skewed)


def test_a_call_that_was_to_wait_is_late_from_its_date_on(held, calls):
    """Its delay is no fault of the queue's."""
    call = a_call(calls, held, options=CallOptions(delay_ns=60_000 * MS))
    held.advance("60.05s")
    Outlook().started(call, Report(wait_ns=30 * MS, run_ns=10 * MS))

    assert 30 * MS == pytest.approx(call.start_ns, rel=0.05)


@pytest.mark.parametrize(
    "said",
    [None, 7, "x", {}, {"wait_ns": 1}, {"wait_ns": "1", "run_ns": 1}, {"wait_ns": 1, "run_ns": -1}, {"run_ns": 1.5}],
)
def test_a_report_that_makes_no_sense_is_none(said):
    """A stored result may be anybody's."""
    assert report_of({"status": "SUCCESS", "dispatch": said}) is None
    assert report_of({"status": "SUCCESS"}) is None


# A square wave of load -------------------------------------------------------------------------------------------

POLICY = """\
version: 1
destinations: {fast: {transport: local}, queue: {transport: celery}}
defaults: {durability: ephemeral}
otherwise: {route_to: queue, fallback: [fast]}
"""


def moves_under_a_wave(held, calls, *, period_s, seconds):
    """How often calls moved, a hundred a second, with a queue that is idle and congested in turn."""
    outlook = Outlook()
    queue = Made("queue", transport="celery", keeps_durable=True, always_fit=False)
    places = {"fast": Made("fast", start_ns=1 * MS), "queue": queue}
    plan = parse(POLICY).bind(spec(requirements=Requirements.of(latency_budget="20ms")), places)
    moves, before = 0, "queue"
    for number in range(seconds * 100):
        congested = (number // (period_s * 50)) % 2 >= 1
        held.advance("9ms")
        queue.start_ns = outlook.start_ns()
        chosen = next(iter(plan.candidates(plan.only, None))).name
        if chosen == "queue":
            hear(outlook, calls, held, (60 if congested else 2) * MS, run_ns=1)
        moves += chosen != before
        before = chosen
    return moves


@pytest.mark.parametrize("period_s", [1, 2, 10, 60])
def test_a_square_wave_of_load_does_not_make_calls_flap(held, calls, period_s):
    """Away from it once when it is congested, and back after a silence of some ten seconds, whatever the wave.

    Who decided by the last reading alone would move more than a thousand times.
    """
    seconds = 120

    moves = moves_under_a_wave(held, calls, period_s=period_s, seconds=seconds)

    assert 1 <= moves
    assert moves <= 2 * seconds / 10
