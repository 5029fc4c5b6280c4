"""How a call ends, or goes on: by who claimed it, and by nobody else."""

import pytest

from servers.patience import eventually


def ends(desk, claim):
    """Every way in which an owner lets go."""
    return {
        "settle": lambda: desk.ledger.settle(claim, "done"),
        "again": lambda: desk.ledger.again(claim, desk.text("call", 2), "queue"),
        "again, later": lambda: desk.ledger.again(claim, desk.text("call", 2), "queue", delay_ms=60_000),
        "bury": lambda: desk.ledger.bury(claim, error="E", traceback="T"),
    }


WAYS = ["settle", "again", "again, later", "bury"]


def test_a_settled_call_shrinks_to_its_outcome(desk):
    """And is forgotten after a while, by itself."""
    desk.ledger.settle(desk.running(remember_ms=5000), "done")

    assert {"state": "settled", "outcome": "done", "owner": "owner-1"} == desk.facts()
    assert 0 < desk.redis.pttl("dispatch:ledger:call") <= 5000
    assert [] == desk.due()


def test_a_call_that_runs_or_waits_never_expires(desk):
    """Only what has ended may be forgotten."""
    desk.ledger.settle(desk.running("call", remember_ms=1), "done")
    eventually(lambda: desk.state() is None, what="the settled call is forgotten")
    desk.running("call")

    assert -1 == desk.redis.pttl("dispatch:ledger:call")


@pytest.mark.parametrize("way", WAYS)
def test_said_twice_it_is_said_once(desk, way):
    """The answer was lost: nothing is pushed, counted or buried a second time, and the answer is the same."""
    end = ends(desk, desk.running())[way]
    assert end()
    queue, tally, facts = desk.queued(), desk.ledger.letters.tally(), desk.facts()

    assert end()
    assert (queue, tally, facts) == (desk.queued(), desk.ledger.letters.tally(), desk.facts())


@pytest.mark.parametrize("way", WAYS)
def test_who_lost_the_claim_ends_nothing(desk, way):
    """Somebody else runs it, and will say how it ended."""
    late = desk.running(lease_ms=1000)
    desk.later(1000)
    owner = desk.claimed()

    assert not ends(desk, late)[way]()
    assert [] == desk.queued()
    assert [] == desk.ledger.renew([owner])
    assert desk.ledger.settle(owner, "done")


@pytest.mark.parametrize("way", WAYS)
def test_who_was_late_and_not_replaced_still_ends_it(desk, way):
    """The work is done, and the message that the sweep published meanwhile finds it so."""
    late = desk.running(lease_ms=1000)
    desk.later(1000)
    assert 1 == desk.sweep().pushed

    assert ends(desk, late)[way]()
    assert desk.claim("call", 1).why in {"settled", "older", "early"}


def test_a_further_attempt_has_its_own_message(desk):
    """Published in the step that ends the one before; all counts start anew."""
    claim = desk.running()
    desk.ledger.again(claim, desk.text("call", 2), "other")

    assert ([], ["call"]) == (desk.queued(), desk.queued("other"))
    assert ("call", 2) == desk.pop("other")
    assert 1 == desk.claimed("call", 2).deliveries


def test_a_further_attempt_waits_for_its_time(desk):
    """In no queue, and in no worker."""
    desk.ledger.again(desk.running(), desk.text("call", 2), "queue", delay_ms=60_000)
    assert ([], "waiting") == (desk.queued(), desk.state())

    desk.later(60_000)
    desk.sweep()
    assert ("call", 2) == desk.pop()


def test_who_gave_up_the_attempt_renews_nothing(desk):
    """The renewer may be under way with it: the next attempt is nobody's."""
    claim = desk.running()
    desk.ledger.again(claim, desk.text("call", 2), "queue")

    assert [claim] == desk.ledger.renew([claim])
    assert "queued" == desk.state()


def test_renewing_begins_the_lease_anew(desk):
    """For each of many calls, and says which of them are lost."""
    mine, others = desk.running("mine", lease_ms=1000), desk.running("other's", lease_ms=1000)
    desk.later(900)
    assert [] == desk.ledger.renew([mine])
    desk.later(900)
    desk.claimed("other's")

    desk.refused("running", "mine")
    assert [others] == desk.ledger.renew([mine, others])


def test_a_lease_that_ran_out_is_taken_again_while_nobody_else_has_claimed(desk):
    """Redis was away for longer than the lease: the published message finds the call running."""
    claim = desk.running(lease_ms=1000)
    desk.later(5000)
    desk.sweep()

    assert [] == desk.ledger.renew([claim])
    assert ("call", 1) == desk.pop()
    desk.refused("running")


def test_a_lease_that_was_taken_again_ends_like_any_other(desk):
    """Not when the sweep would have looked for the message that it published."""
    claim = desk.running(lease_ms=1000)
    desk.later(1000)
    desk.sweep()
    desk.ledger.renew([claim])
    desk.later(1000)

    assert 1 == desk.sweep().pushed


def test_more_claims_than_one_step_takes_are_renewed(desk):
    """In several commands, each of them bounded."""
    claims = [desk.claimed(f"call-{number}") for number in range(250)]
    desk.ledger.settle(claims[180], "done")

    assert [claims[180]] == desk.ledger.renew(claims)


def test_what_celery_threw_away_is_settled(desk):
    """Expired or revoked before user code: nobody publishes it again."""
    desk.enter()
    desk.pop()

    assert "ended" == desk.ledger.discard("call", 1, "expired")
    assert "expired" == desk.refused("settled").outcome
    assert [] == desk.due()


def test_a_delayed_call_can_be_taken_back(desk):
    """It is in no queue, so it is certain that it will not run."""
    desk.enter(delay_ms=60_000)

    assert "ended" == desk.ledger.discard("call", 1, "cancelled")
    desk.later(60_000)
    assert (0, []) == (desk.sweep().pushed, desk.queued())


def test_a_thrown_away_message_does_not_end_what_runs_or_what_comes_after_it(desk):
    """A copy of the message may expire while the call runs, has ended, or is at a further attempt."""
    claim = desk.running()
    assert "elsewhere" == desk.ledger.discard("call", 1, "expired")
    desk.ledger.again(claim, desk.text("call", 2), "queue")
    assert "elsewhere" == desk.ledger.discard("call", 1, "expired")
    desk.ledger.settle(desk.claimed("call", 2), "done")
    assert "elsewhere" == desk.ledger.discard("call", 2, "expired")
    assert "unknown" == desk.ledger.discard("unheard of", 1, "expired")

    assert "done" == desk.refused("settled", "call", 2).outcome
