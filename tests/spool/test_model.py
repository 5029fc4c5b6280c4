"""A spool in one thread, beside a dictionary that cannot be wrong."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatch import testing
from dispatch.errors import SpoolFull
from dispatch.spool import Spool, Verdict
from spool.calls import entry, ids

IDS = st.integers(0, 7)
OWNERS = st.sampled_from("ab")
WHAT = st.sampled_from(["accepted", "refused", "unknown", "never"])
LEASE = 30
ROOM = 5
"""Rows of one page each."""


class Model(RuleBasedStateMachine):
    """Whatever is done in whatever order, and however often it is closed and opened, it answers as the model does."""

    def __init__(self):
        super().__init__()
        self.held = testing.clock()
        self.clock = self.held.__enter__()
        self.folder = Path(tempfile.mkdtemp())
        self.rows = {}  # id: [due, owner, doubtful, dead]
        self.lease = ("", 0)
        self.open()

    def open(self):
        self.spool = Spool("shop", folder=self.folder / "state", max_bytes=ROOM * 4096)

    def teardown(self):
        self.spool.close()
        shutil.rmtree(self.folder)
        self.held.__exit__(None, None, None)

    @property
    def now(self):
        return self.clock.wall()

    @rule(number=IDS, delay=st.sampled_from([0, 10]), doubtful=st.booleans())
    def add(self, number, delay, doubtful):
        handed = entry(
            number, arguments=bytes(3000), not_before=self.now + delay * 10**9 if delay else 0, doubtful=doubtful
        )
        name = f"call-{number}"
        if name not in self.rows and len(self.rows) == ROOM:
            try:
                self.spool.add(handed)
            except SpoolFull:
                return
            raise AssertionError("it is full")
        assert self.spool.add(handed) == (name not in self.rows)
        self.rows.setdefault(name, [self.now + delay * 10**9, None, doubtful, False])

    @rule(owner=OWNERS, count=st.integers(1, 4))
    def take(self, owner, count):
        taken = self.spool.take("queue", owner, count=count, lease=LEASE)
        holder, until = self.lease
        if holder not in ("", owner) and until > self.now:
            assert [] == ids(taken)
            return
        self.acquire(owner)
        due = sorted((row[0], name) for name, row in self.rows.items() if not row[3] and row[0] <= self.now)
        moments = {name: moment for moment, name in due}
        # Those of one moment may come in either order.
        assert [moment for moment, _ in due[:count]] == [moments[row.id] for row in taken]
        for row in taken:
            known = self.rows[row.id]
            known[2] = known[2] or known[1] is not None
            assert row.doubtful == known[2]
            known[0], known[1] = self.lease[1], owner

    @rule(owner=OWNERS)
    def renew(self, owner):
        holder, until = self.lease
        expected = holder in ("", owner) or until <= self.now
        assert expected == self.spool.renew("queue", owner, lease=LEASE)
        if expected:
            self.acquire(owner)
            for row in self.rows.values():
                if row[1] == owner:
                    row[0] = self.lease[1]

    @rule(owner=OWNERS, number=IDS, what=WHAT, pause=st.sampled_from([0, 5]))
    def settle(self, owner, number, what, pause):
        name, due = f"call-{number}", self.now + pause * 10**9
        self.spool.settle(owner, [(Verdict(name, what), due)])
        row = self.rows.get(name)
        if row is None:
            return
        if what == "accepted":
            del self.rows[name]
        elif row[1] == owner:
            row[:] = [due, None, row[2] or what == "unknown", what == "never"]

    @rule(owner=OWNERS)
    def release(self, owner):
        self.spool.release("queue", owner)
        if self.lease[0] == owner:
            self.lease = ("", 0)

    @rule(number=IDS)
    def drop(self, number):
        name = f"call-{number}"
        assert self.state(name) == self.spool.drop(name)
        self.rows.pop(name, None)

    @rule(number=IDS)
    def revive(self, number):
        row = self.rows.get(f"call-{number}")
        dead = row is not None and row[3]
        assert dead == self.spool.revive(f"call-{number}")
        if dead:
            row[0], row[3] = self.now, False

    @rule(seconds=st.sampled_from([1, 7, 31]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @precondition(lambda self: self.rows)
    @rule()
    def open_again(self):
        self.spool.close()
        self.open()

    @invariant()
    def it_shows_what_the_model_has(self):
        assert {name: self.state(name) for name in self.rows} == {row.id: row.state for row in self.spool.ls()}
        seen = self.spool.statistics()
        assert (len(self.rows), len(self.rows) * 4096) == (seen.rows, seen.bytes)

    def acquire(self, owner):
        self.lease = (owner, self.now + LEASE * 10**9)
        for row in self.rows.values():
            if row[1] not in (None, owner) and row[0] > self.now:
                row[0] = self.now

    def state(self, name):
        if name not in self.rows:
            return None
        due, owner, doubtful, dead = self.rows[name]
        if dead:
            return "dead"
        if owner is not None and due > self.now:
            return "leased"
        return "unknown" if doubtful or owner is not None else "waiting"


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, database=None)
TestModel = Model.TestCase
