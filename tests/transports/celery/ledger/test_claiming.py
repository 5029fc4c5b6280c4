"""Who may run a call: one at a time, whatever messages are about."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from dispatch.transports.celery.ledger import Claim
from servers.patience import eventually


def test_a_claim_gives_the_lease(desk):
    """With what the renewer needs, and how often the call was tried."""
    desk.enter(lease_ms=5000)
    claim = desk.claimed("call", owner="me")

    assert Claim(id="call", owner="me", attempt=1, lease_ms=5000, deliveries=1) == claim
    assert "running" == desk.state()


def test_a_call_that_runs_is_not_run_elsewhere(desk):
    """A second message of the same attempt is dropped while the lease lasts."""
    desk.running()

    desk.refused("running")


def test_a_call_that_has_ended_is_not_run_again(desk):
    """The drop says with which outcome."""
    desk.ledger.settle(desk.running(), "done")

    assert "done" == desk.refused("settled").outcome


def test_a_message_of_an_older_attempt_is_dropped(desk):
    """Also while the newer attempt waits for its turn."""
    desk.ledger.again(desk.running(), desk.text("call", 2), "queue")

    desk.refused("older", "call", 1)
    assert 1 == desk.claimed("call", 2).deliveries


def test_an_attempt_that_is_not_due_is_dropped(desk):
    """The sweep publishes it when its time has come; a message of it that is about already came from nowhere."""
    desk.ledger.again(desk.running(), desk.text("call", 2), "queue", delay_ms=60_000)

    desk.refused("early", "call", 2)


def test_an_unknown_call_is_made_as_running(desk):
    """Plain Celery published it: from its claim on, it has all that the sweep needs."""
    claim = desk.claimed("call", lease_ms=1000)
    assert (1, 1000, "running") == (claim.deliveries, claim.lease_ms, desk.state())

    desk.later(1000)
    assert 1 == desk.sweep().pushed
    assert ("call", 1) == desk.pop()
    assert 2 == desk.claimed("call").deliveries


def test_a_newer_attempt_than_the_ledgers_is_run_with_its_own_message(desk):
    """The ledger came back from an old copy, or somebody published past it: at least once."""
    desk.enter(lease_ms=1000)
    assert 1 == desk.claimed("call", 3, lease_ms=1000).deliveries

    desk.later(1000)
    desk.redis.delete("queue")
    desk.sweep()
    assert ("call", 3) == desk.pop()


def test_a_lease_ends_by_the_servers_clock(desk):
    """Nobody has to do anything for it: a real lease, and a claim that succeeds once it is over."""
    desk.running(lease_ms=50)

    assert 2 == eventually(lambda: getattr(desk.claim(), "deliveries", None))


def test_said_again_by_the_same_owner_it_is_one_delivery(desk):
    """The answer was lost: the same question has the same answer."""
    desk.enter()
    first = desk.claimed(owner="me")

    assert first == desk.claimed(owner="me")


def test_a_call_that_keeps_ending_its_workers_becomes_a_dead_letter(desk):
    """`max_deliveries` times, and not once more."""
    desk.enter(max_deliveries=2, lease_ms=1000)
    for delivery in (1, 2):
        assert delivery == desk.claimed().deliveries
        desk.later(1000)

    desk.refused("dead")
    letter = desk.ledger.letters.show("call")
    assert ("max_deliveries", 2, 1) == (letter.reason, letter.deliveries, letter.attempt)
    assert "dead" == desk.refused("settled").outcome


def test_deliveries_are_counted_for_each_attempt(desk):
    """A retry starts from none."""
    desk.enter(max_deliveries=1)
    desk.ledger.again(desk.claimed(), desk.text("call", 2), "queue")

    assert 1 == desk.claimed("call", 2).deliveries


@pytest.mark.parametrize("before", ["entered", "unknown", "let go silent"])
def test_of_those_who_race_exactly_one_wins(desk, before):
    """Many threads, many rounds, each with a connection of its own."""
    racers = 4
    gate = Barrier(racers)

    def race(call_id: str, owner: str) -> object:
        gate.wait()
        return desk.claim(call_id, owner=owner)

    with ThreadPoolExecutor(racers) as pool:
        for number in range(200):
            call_id = f"call-{number}"
            if before != "unknown":
                desk.enter(call_id)
            if before == "let go silent":
                desk.claimed(call_id)
                desk.redis.hset(f"dispatch:ledger:{call_id}", "until", 1)
            verdicts = list(pool.map(race, [call_id] * racers, [f"{number}-{racer}" for racer in range(racers)]))
            assert 1 == sum(isinstance(verdict, Claim) for verdict in verdicts), verdicts
