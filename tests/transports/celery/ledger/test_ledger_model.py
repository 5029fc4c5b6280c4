"""Everything that can happen to a call, in any order, with a crash at any step, against a model in a few lines.

The model knows nothing of lists, stamps or the sweep: only who may run what, and that nothing is lost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from dispatch.transports.celery.ledger import Claim

LEASE = 1_000_000
"""So long that the time which the test itself takes does not matter beside it."""
LIMIT = 3
CALLS = ["a", "b", "c"]
STEPS = st.sampled_from([470_001, 1_130_003, 4_000_007])
DELAYS = st.sampled_from([0, 0, 500_000])


@dataclass
class Known:
    """What anybody could know of an accepted durable call."""

    attempt: int = 1
    due: int = 0
    """When its attempt may be published."""
    published: bool = False
    """Whether that attempt may be in a list, or in somebody's hand."""
    owner: str | None = None
    until: int = 0
    deliveries: int = 0
    ended: str | None = None


class Machine(RuleBasedStateMachine):
    """Publishers, workers and a sweeper; a crash is that somebody forgets what he held."""

    desk = None

    def __init__(self) -> None:
        super().__init__()
        self.desk.redis.flushdb()
        self.now = 0
        self.known: dict[str, Known] = {}
        self.hands: list[tuple[str, int]] = []
        self.claims: list[Claim] = []
        self.ephemeral: Counter[str] = Counter()

    # ---- publishers

    @rule(call_id=st.sampled_from(CALLS), delay=DELAYS, twice=st.booleans())
    def enter(self, call_id, delay, twice):
        """An answer that was lost is asked for again."""
        fresh = call_id not in self.known
        assert fresh == self.desk.enter(call_id, delay_ms=delay, lease_ms=LEASE, max_deliveries=LIMIT)
        if fresh:
            self.known[call_id] = Known(due=self.now + delay, published=not delay)
        if twice:
            assert not self.desk.enter(call_id, delay_ms=delay, lease_ms=LEASE, max_deliveries=LIMIT)

    @rule(delay=DELAYS)
    def enter_ephemeral(self, delay):
        call_id = f"ephemeral-{len(self.ephemeral)}"
        self.ephemeral[call_id] = 0
        assert self.desk.enter(call_id, delay_ms=delay, lease_ms=LEASE, durability="ephemeral")

    # ---- workers

    @rule()
    def pop(self):
        """From here to the claim a message is nowhere but in a worker's memory."""
        message = self.desk.pop()
        if message is not None and message[0] in self.ephemeral:
            self.ephemeral[message[0]] += 1
        elif message is not None:
            self.hands.append(message)

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def die_after_pop(self, data):
        self.take(data, self.hands)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), twice=st.booleans())
    def claim(self, data, twice):
        call_id, attempt = self.take(data, self.hands)
        owner = f"owner-{next(self.desk.numbers)}"
        expected = self.verdict(call_id, attempt)
        for _ in range(1 + (twice and expected == "claimed")):
            verdict = self.desk.claim(call_id, attempt, owner=owner)
            assert expected == ("claimed" if isinstance(verdict, Claim) else verdict.why)
        known = self.known[call_id]
        if isinstance(verdict, Claim):
            known.owner, known.until, known.deliveries = owner, self.now + LEASE, known.deliveries + 1
            assert known.deliveries == verdict.deliveries
            self.claims.append(verdict)
        elif verdict.why == "dead":
            known.ended, known.owner = "dead", owner

    def verdict(self, call_id, attempt):
        known = self.known[call_id]
        if known.ended:
            return "settled"
        if attempt < known.attempt:
            return "older"
        if not known.published:
            return "early"
        if known.owner and known.until > self.now:
            return "running"
        return "claimed" if known.deliveries < LIMIT else "dead"

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def die_while_running(self, data):
        """After the claim, or after the task: the ledger cannot tell."""
        self.take(data, self.claims)

    @precondition(lambda self: self.claims)
    @rule()
    def renew(self):
        lost = self.desk.ledger.renew(self.claims)
        assert [claim for claim in self.claims if not self.owns(claim)] == lost
        for claim in self.claims:
            if self.owns(claim):
                self.known[claim.id].until = self.now + LEASE

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), twice=st.booleans())
    def settle(self, data, twice):
        claim = self.take(data, self.claims)
        owns = self.owns(claim)
        for _ in range(1 + twice):
            assert owns == self.desk.ledger.settle(claim, "done")
        if owns:
            self.known[claim.id].ended = "done"

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), delay=DELAYS, twice=st.booleans())
    def again(self, data, delay, twice):
        claim = self.take(data, self.claims)
        owns = self.owns(claim)
        text = self.desk.text(claim.id, claim.attempt + 1)
        for _ in range(1 + twice):
            assert owns == self.desk.ledger.again(claim, text, "queue", delay_ms=delay)
        if owns:
            self.known[claim.id] = Known(claim.attempt + 1, self.now + delay, published=not delay)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), twice=st.booleans())
    def bury(self, data, twice):
        claim = self.take(data, self.claims)
        owns = self.owns(claim)
        for _ in range(1 + twice):
            assert owns == self.desk.ledger.bury(claim, error="E", traceback="T")
        if owns:
            self.known[claim.id].ended = "failed"

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def discard(self, data):
        """Celery found it expired or revoked."""
        call_id, attempt = self.take(data, self.hands)
        ends = self.verdict(call_id, attempt) in {"claimed", "dead", "early"}
        assert ("ended" if ends else "elsewhere") == self.desk.ledger.discard(call_id, attempt, "expired")
        if ends:
            self.known[call_id].ended, self.known[call_id].owner = "expired", None

    # ---- the rest of the world

    @rule(call_id=st.sampled_from(CALLS))
    def exhume(self, call_id):
        known = self.known.get(call_id)
        dead = known is not None and known.ended in {"dead", "failed"}
        underway = known is not None and not known.ended
        answer = self.desk.ledger.letters.exhume(call_id)
        assert ("entered" if dead else "known" if underway else "absent") == answer
        if dead:
            self.known[call_id] = Known(published=True)
            # Messages of its earlier life cannot be told from those of its new one.
            self.hands = [hand for hand in self.hands if hand[0] != call_id]
            self.purge(call_id)

    @rule(step=STEPS)
    def time_passes(self, step):
        self.desk.later(step)
        self.now += step

    @rule()
    def sweep(self):
        self.desk.sweep_all()
        for known in self.known.values():
            known.published = known.published or known.due <= self.now

    @rule()
    def messages_are_lost(self):
        """Whatever took them."""
        for call_id in self.desk.queued():
            if call_id not in self.ephemeral:
                self.purge(call_id)

    # ---- what is always true

    @invariant()
    def the_ledger_owns_what_has_not_ended(self):
        """Accepted is settled, dead, or looked after."""
        due = set(self.desk.due())
        for call_id, known in self.known.items():
            state = self.desk.state(call_id)
            assert (known.ended is not None) == (state == "settled"), (call_id, known, state)
            assert (call_id in due) == (known.ended is None)
            assert (known.ended in {"dead", "failed"}) == (self.desk.ledger.letters.show(call_id) is not None)

    @invariant()
    def a_live_lease_is_one(self):
        for call_id in self.known:
            live = [claim for claim in self.claims if claim.id == call_id and self.owns(claim)]
            assert len(live) <= 1

    @invariant()
    def an_ephemeral_call_comes_once(self):
        assert all(number <= 1 for number in self.ephemeral.values())

    def teardown(self):
        """From whatever has happened, an honest worker brings every call to its end."""
        for _ in range(30):
            if all(known.ended for known in self.known.values()):
                break
            self.time_passes(4_000_007)
            self.sweep()
            while (message := self.desk.pop()) is not None:
                if message[0] in self.known:
                    verdict = self.desk.claim(*message)
                    if isinstance(verdict, Claim):
                        assert self.desk.ledger.settle(verdict, "done")
                    if isinstance(verdict, Claim) or verdict.why == "dead":
                        self.known[message[0]].ended = "done"
        assert all(known.ended for known in self.known.values())
        assert [] == [call_id for call_id in self.desk.due() if call_id not in self.ephemeral]

    # ---- by the way

    def owns(self, claim):
        return self.known[claim.id].owner == claim.owner and self.known[claim.id].ended is None

    def take(self, data, things):
        return things.pop(data.draw(st.integers(0, len(things) - 1)))

    def purge(self, call_id):
        for text in self.desk.redis.lrange("queue", 0, -1):
            if f'"id": "{call_id}"' in text:
                self.desk.redis.lrem("queue", 0, text)


@pytest.mark.timeout(120)
def test_nothing_accepted_is_lost_and_nothing_runs_twice_at_once(redis_url, new_desk):
    """Forty steps at a time, of those above."""
    Machine.desk = new_desk(redis_url)
    rules = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=rules)
