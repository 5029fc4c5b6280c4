"""What the sweep publishes again, and what it leaves alone."""

import json

import pytest

from dispatch.transports.celery.ledger import Bounds, Elsewhere, Size
from servers.patience import eventually


def test_a_call_whose_worker_fell_silent_is_published_again(desk):
    """Its lease is over; nobody renewed it."""
    desk.running(lease_ms=1000)
    assert 0 == desk.sweep().pushed
    desk.later(1000)

    assert 1 == desk.sweep().pushed
    assert ("call", 1) == desk.pop()


def test_it_happens_with_real_time_too(desk):
    """A lease of fifty milliseconds, and nobody who renews it."""
    desk.running(lease_ms=50)

    eventually(lambda: desk.sweep().pushed)
    assert ("call", 1) == desk.pop()


def test_a_call_that_is_renewed_is_left_alone(desk):
    """However long it runs."""
    claim = desk.running(lease_ms=1000)
    for _ in range(10):
        desk.later(900)
        desk.ledger.renew([claim])
        assert 0 == desk.sweep().pushed


def test_a_lease_counts_more_than_the_day_of_the_sweep(desk):
    """Somebody called the sweep to a running call by hand: it stays with its owner."""
    desk.running()
    desk.redis.zadd("dispatch:due", {"call": 1})

    assert 0 == desk.sweep().pushed
    desk.refused("running")
    assert desk.sweep().next_ms > 0


def test_a_message_that_a_worker_took_with_it_is_published_again(desk):
    """It popped the message and died before its claim; the list is empty, so it cannot be there."""
    desk.enter(lease_ms=1000)
    desk.pop()
    assert 0 == desk.sweep().pushed
    desk.later(1000)

    assert 1 == desk.sweep().pushed


def test_a_message_is_missed_when_a_younger_one_is_next(desk):
    """Lists are first in, first out: behind the younger there is no older."""
    for call_id in ("lost", "next", "last"):
        desk.enter(call_id, lease_ms=1000)
        desk.later(1)
    desk.pop()
    desk.later(1000)
    found = desk.sweep()

    assert (1, 2) == (found.pushed, found.kept)
    assert ["next", "last", "lost"] == desk.queued()


def test_a_message_that_may_still_be_in_its_list_is_left_there(desk):
    """However long it waits: an older one is next."""
    for call_id in ("a", "b"):
        desk.enter(call_id, lease_ms=1000)
    for _ in range(20):
        desk.later(10_000)
        assert 0 == desk.sweep_all()


def test_the_longer_it_waits_the_less_often_it_is_looked_at(desk):
    """A long queue does not keep the server busy: after so many leases it was looked at some ten times."""
    desk.enter(lease_ms=1000)
    looks = 0
    for _ in range(100):
        desk.later(1000)
        looks += desk.sweep().looked

    assert 5 <= looks <= 15


def test_each_priority_is_a_list_of_its_own(desk):
    """What is next in one says nothing of another, even of the same queue."""
    desk.enter("urgent", list_key="queue", lease_ms=1000)
    desk.enter("slow", list_key="queue\x06\x163", lease_ms=1000)
    desk.later(1)
    desk.enter("slower", list_key="queue\x06\x163", lease_ms=1000)
    desk.pop("queue")
    desk.later(1000)

    assert 1 == desk.sweep().pushed
    assert ["urgent"] == desk.queued("queue")
    assert ["slow", "slower"] == desk.queued("queue\x06\x163")


@pytest.mark.parametrize("strangers", [1, 2, 3])
def test_a_few_strangers_in_the_list_are_looked_past(desk, strangers):
    """Messages of plain Celery have no stamp; the first that has one tells."""
    desk.enter("lost", lease_ms=1000)
    desk.pop()
    desk.later(1)
    for _ in range(strangers):
        desk.redis.lpush("queue", json.dumps({"headers": {}}))
    desk.enter("young", lease_ms=1000)
    desk.later(1000)

    assert 1 == desk.sweep().pushed


def test_a_short_list_of_strangers_cannot_hold_it(desk):
    """The whole list was seen."""
    desk.enter("lost", lease_ms=1000)
    desk.pop()
    desk.redis.lpush("queue", *[json.dumps({"headers": {}})] * 3)
    desk.later(1000)

    assert 1 == desk.sweep().pushed


def test_behind_many_strangers_it_waits_for_so_long_and_no_longer(desk):
    """Nothing can be told from such a list; one message too many is better than one call too few."""
    desk.enter("hidden", lease_ms=1000)
    desk.pop()
    desk.redis.lpush("queue", *[json.dumps({"headers": {}})] * 10)
    waited = 0
    while not desk.sweep_all():
        desk.later(1000)
        waited += 1

    assert 8 <= waited <= 14


def test_each_time_it_waits_twice_as_long(desk):
    """From the lease up to an hour: a worker that hoards messages is not flooded with copies."""
    desk.enter(lease_ms=1000)
    waited = []
    for _ in range(15):
        desk.pop()
        seconds = 0
        while not desk.sweep_all():
            step = 1 if seconds < 100 else 60
            desk.later(step * 1000)
            seconds += step
        waited.append(seconds)

    assert [1, 2, 4, 8, 16, 32, 64] == waited[:7]
    assert all(3600 <= seconds <= 3700 for seconds in waited[-2:])


def test_after_a_hundred_times_it_becomes_a_dead_letter(desk):
    """Somebody takes its messages and never runs them: that is for a person to look at."""
    desk.enter(lease_ms=1000)
    pushed = 0
    while desk.state() != "settled":
        desk.redis.delete("queue")
        desk.later(3_700_000)
        pushed += desk.sweep_all()

    assert 100 == pushed
    assert "unclaimed" == desk.ledger.letters.show("call").reason
    assert [] == desk.due()


def test_ten_thousand_waiting_calls_are_not_published_again(desk):
    """Three leases long, while workers take a few of them, nothing is doubled."""
    with desk.redis.pipeline(transaction=False) as pipe:
        pipe.execute_command(*desk.ledger.lesson())
        for number in range(10_000):
            pipe.execute_command(*desk.ledger.entering(desk.entry(f"call-{number}", lease_ms=1000)))
        pipe.execute()
    for _ in range(3):
        desk.later(1000)
        for _ in range(10):
            desk.ledger.settle(desk.claimed(*desk.pop()), "done")
        assert 0 == desk.sweep_all()

    assert 10_000 - 30 == len(desk.queued()) == len(desk.due())


def test_a_step_is_bounded(desk):
    """By the entries it looks at; the next step is wanted at once."""
    for number in range(5):
        desk.enter(f"call-{number}", lease_ms=1000)
    desk.redis.delete("queue")
    desk.later(1000)
    found = desk.ledger.sweep("sweeper", limit=3)

    assert (3, 3, 0) == (found.looked, found.pushed, found.next_ms)


def test_a_step_is_bounded_by_bytes_too(desk):
    """Messages of half a megabyte: a few at a time."""
    big = desk.text("call", padding="x" * 500_000)
    for number in range(5):
        desk.enter(f"call-{number}", lease_ms=1000, message=big)
    desk.redis.delete("queue")
    desk.redis.zadd("dispatch:due", dict.fromkeys(desk.due(), 1))
    found = desk.sweep()

    assert 0 < found.pushed < 5
    assert 0 == found.next_ms


def test_it_says_when_it_wants_to_be_called_next(desk):
    """So that delayed calls are punctual."""
    assert None is desk.sweep().next_ms
    desk.enter(delay_ms=60_000)

    assert 50_000 < desk.sweep().next_ms <= 60_000


def test_an_entry_that_somebody_deleted_is_not_looked_for_again(desk):
    """Nothing is known of it, so nothing can be done."""
    desk.enter()
    desk.later(60_000)
    desk.redis.delete("dispatch:ledger:call")

    assert (1, None) == (desk.sweep().forgotten, desk.sweep().next_ms)


@pytest.mark.parametrize("damage", ["another type", "no list", "no lease", "no message", "no state"])
def test_an_entry_that_cannot_be_read_holds_up_nobody(desk, damage):
    """Somebody else's hand was in it: it is counted and left, and the others go on."""
    desk.enter("spoilt", lease_ms=1000)
    desk.enter("sound", lease_ms=1000)
    desk.redis.delete("queue")
    key = "dispatch:ledger:spoilt"
    desk.later(1000)
    if damage == "another type":
        desk.redis.delete(key)
        desk.redis.set(key, "x")
    elif damage == "no lease":
        desk.redis.hset(key, "lease", "long")
    else:
        desk.redis.hdel(key, {"no list": "list", "no message": "before", "no state": "state"}[damage])
    found = desk.sweep()

    assert (1, 1) == (found.forgotten, found.pushed)
    assert ["sound"] == desk.due()


def test_a_list_that_is_none_is_tried_again_later(desk):
    """The call is not lost by somebody else's key."""
    desk.enter(lease_ms=1000)
    desk.redis.delete("queue")
    desk.redis.set("queue", "not a list")
    desk.later(60_000)
    found = desk.sweep()
    assert (1, 0) == (found.stuck, found.pushed)

    desk.redis.delete("queue")
    desk.later(60_000)
    assert 1 == desk.sweep().pushed


def test_one_sweeps_at_a_time(desk):
    """The others learn when to ask again; when the one is silent or goes, the next one may."""
    assert 0 == desk.ledger.sweep("first", lock_ms=60_000).looked
    other = desk.ledger.sweep("second")
    assert isinstance(other, Elsewhere)
    assert 0 < other.lock_ms <= 60_000
    desk.ledger.release("second")
    assert isinstance(desk.ledger.sweep("second"), Elsewhere)

    desk.ledger.release("first")
    assert 0 == desk.ledger.sweep("second", lock_ms=50).looked
    eventually(lambda: not isinstance(desk.ledger.sweep("third"), Elsewhere))


def test_a_sweep_that_fills_the_letters_drops_the_oldest(redis_url, new_desk):
    """Bounds hold wherever a letter comes from."""
    desk = new_desk(redis_url, bounds=Bounds(count=1))
    for call_id in ("a", "b"):
        desk.enter(call_id, lease_ms=1000)
        desk.redis.hset(f"dispatch:ledger:{call_id}", "pushes", 100)
    desk.redis.delete("queue")
    desk.later(1000)
    found = desk.sweep()

    assert (2, 1) == (found.buried, found.letters_gone)
    assert 1 == desk.ledger.letters.tally().count


def test_how_much_is_in_it_is_asked_at_once(desk):
    """Whatever has not ended is kept; what a sweep should have looked at seconds ago is overdue; letters are dead."""
    desk.running("d")
    for name in ("a", "b", "c"):
        desk.enter(name)
    assert Size(kept=4, overdue=0, dead=0) == desk.ledger.size()

    desk.later(31_000)  # the leases have ended just now
    assert Size(kept=4, overdue=0, dead=0) == desk.ledger.size()
    desk.later(10_000)
    assert Size(kept=4, overdue=4, dead=0) == desk.ledger.size()

    desk.ledger.settle(desk.claimed("a"), "done")
    desk.ledger.bury(desk.claimed("b"), error="broken", traceback="")
    assert Size(kept=2, overdue=2, dead=1) == desk.ledger.size()
