"""One forwarder at a time, for as long as its lease lasts."""

from __future__ import annotations

import pytest

from dispatch import testing
from spool.calls import entry, ids, verdicts


@pytest.fixture
def clock():
    with testing.clock() as held:
        yield held


def later(clock, seconds):
    return clock.wall() + round(seconds * 1e9)


def test_the_oldest_are_taken_first_and_by_one_alone(clock, spool):
    for number in range(5):
        spool.add(entry(number))
        clock.advance("1ms")

    assert ["call-0", "call-1"] == ids(spool.take("queue", "a", count=2, lease=30))
    assert [] == ids(spool.take("queue", "b", count=2, lease=30))
    assert ["call-2", "call-3"] == ids(spool.take("queue", "a", count=2, lease=30))


def test_brokers_have_leases_of_their_own(clock, spool):
    spool.add(entry(1, broker="here"))
    spool.add(entry(2, broker="there"))

    assert ["call-1"] == ids(spool.take("here", "a", count=9, lease=30))
    assert ["call-2"] == ids(spool.take("there", "b", count=9, lease=30))


def test_a_call_is_not_taken_before_its_time(clock, spool):
    spool.add(entry(1, not_before=later(clock, 10)))
    spool.add(entry(2))

    assert ["call-2"] == ids(spool.take("queue", "a", count=9, lease=30))
    assert not spool.is_due("queue")
    clock.advance("10s")
    assert spool.is_due("queue")
    assert ["call-1"] == ids(spool.take("queue", "a", count=9, lease=30))


def test_one_that_died_loses_its_rows_with_its_lease(clock, spool):
    """And they may have been sent: the next one is told so."""
    spool.add(entry(1))
    spool.take("queue", "a", count=9, lease=30)

    clock.advance("29s")
    assert [] == ids(spool.take("queue", "b", count=9, lease=30))
    clock.advance("1s")
    assert ["unknown"] == [row.state for row in spool.ls()]
    assert [True] == [row.doubtful for row in spool.take("queue", "b", count=9, lease=30)]


def test_one_that_renews_keeps_them(clock, spool):
    spool.add(entry(1))
    spool.take("queue", "a", count=9, lease=30)

    for _ in range(3):
        clock.advance("20s")
        assert spool.renew("queue", "a", lease=30)
    assert [] == ids(spool.take("queue", "b", count=9, lease=30))
    clock.advance("30s")
    assert ["call-1"] == ids(spool.take("queue", "b", count=9, lease=30))
    assert not spool.renew("queue", "a", lease=30)


def test_one_that_gives_up_its_lease_makes_room_at_once(clock, spool):
    spool.add(entry(1))
    (row,) = spool.take("queue", "a", count=9, lease=30)
    spool.settle("a", [(each, later(clock, 0)) for each in verdicts([row], "refused", "busy")])
    spool.release("queue", "a")

    (row,) = spool.take("queue", "b", count=9, lease=30)
    assert (False, 1, "busy") == (row.doubtful, row.tries, row.last_error)


def test_the_clock_set_back_locks_nobody_out(clock, spool):
    """Neither by a lease nor by a row that was leased: both would end nobody knows when."""
    spool.add(entry(1))
    spool.take("queue", "a", count=9, lease=30)

    clock._passed -= 3600 * 10**9
    spool.add(entry(2))

    assert {"call-1", "call-2"} == set(ids(spool.take("queue", "b", count=9, lease=30)))


def test_what_was_accepted_goes_and_what_was_refused_waits(clock, spool):
    for number in range(4):
        spool.add(entry(number))
    rows = spool.take("queue", "a", count=9, lease=30)
    said = [
        *verdicts(rows[:1], "accepted"),
        *verdicts(rows[1:2], "refused", "no connection"),
        *verdicts(rows[2:3], "unknown", "no answer"),
        *verdicts(rows[3:], "never", "no such task"),
    ]
    spool.settle("a", [(each, later(clock, 5)) for each in said])

    assert [
        ("call-1", "waiting", "no connection"),
        ("call-2", "unknown", "no answer"),
        ("call-3", "dead", "no such task"),
    ] == [(row.id, row.state, row.last_error) for row in spool.ls()]
    assert [] == ids(spool.take("queue", "a", count=9, lease=30))
    clock.advance("5s")
    assert [("call-1", False), ("call-2", True)] == [
        (row.id, row.doubtful) for row in spool.take("queue", "a", count=9, lease=30)
    ]


def test_a_refusal_does_not_take_back_a_doubt(clock, spool):
    """The publication before it may have arrived all the same."""
    spool.add(entry(1, doubtful=True))
    rows = spool.take("queue", "a", count=9, lease=30)
    spool.settle("a", [(each, 0) for each in verdicts(rows, "refused")])

    assert "unknown" == spool.drop("call-1")


def test_a_late_acceptance_removes_the_row_whoever_has_it(clock, spool):
    spool.add(entry(1))
    rows = spool.take("queue", "a", count=9, lease=30)
    clock.advance("30s")
    spool.take("queue", "b", count=9, lease=30)

    spool.settle("a", [(each, 0) for each in verdicts(rows, "accepted")])

    assert [] == ids(spool.ls())


def test_who_lost_a_row_cannot_give_it_back(clock, spool):
    """It would be taken twice at once."""
    spool.add(entry(1))
    rows = spool.take("queue", "a", count=9, lease=30)
    clock.advance("30s")
    spool.take("queue", "b", count=9, lease=30)

    spool.settle("a", [(each, 0) for each in verdicts(rows, "refused")])

    assert ["leased"] == [row.state for row in spool.ls()]


def test_a_dead_call_is_taken_again_only_when_it_is_revived(clock, spool):
    spool.add(entry(1))
    rows = spool.take("queue", "a", count=9, lease=30)
    spool.settle("a", [(each, 0) for each in verdicts(rows, "never", "no such task")])

    clock.advance("1w")
    assert [] == ids(spool.take("queue", "a", count=9, lease=30))
    assert spool.revive("call-1")
    assert not spool.revive("call-1")
    assert ["call-1"] == ids(spool.take("queue", "a", count=9, lease=30))
