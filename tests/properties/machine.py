"""Callers, spool, broker, ledger and workers together, in any order, with troubles and deaths at any step.

What SPEC calls the contract, as invariants (what runs locally is not in here: `tests/pool` has it):

1. An ephemeral call may be lost; it runs at most once, and it is never on disk.
2. A durable call that was accepted is held somewhere until it has run to an end: in the spool, in the ledger, or as a
   dead letter. Nothing vanishes, and nothing is settled that never ran.
3. When the broker is up, leases have passed and workers have worked, every accepted durable call has run to an end or
   is a dead letter, and nothing is left in spool and ledger.
4. Two runs of one call do not overlap while the first one's lease is renewed.
5. A call that was refused, cancelled for certain, or had expired, never runs.
6. A call that has settled is not run again within `remember`, whatever messages of it are still about.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatch import testing
from dispatch.errors import NotAccepted, OutcomeUnknown
from properties import work
from properties.broker import Redis
from properties.caller import Caller
from properties.link import Died
from properties.worker import Job, Worker

LEASE, REMEMBER = 1_000_000, 10_000_000
SLACK = 60_000
"""More than the real time that one example takes. All milliseconds."""
STEPS = st.sampled_from([7_001, 40_003, 470_011, 1_130_003, 11_000_017])
TROUBLES = st.sampled_from(["none"] * 4 + ["lost", "silent", "late", "dies before", "dies after", "dies on disk"])
WORKS = st.sampled_from(["return", "return", "again", "fail"])
SPARED = st.integers(0, 2)

_numbers = count(1)


@dataclass
class Known:
    """What anybody could know of a call."""

    durable: bool
    expires: float
    """When it ends by itself, unless it has begun."""
    standing: str = "unknown"
    """`accepted`, `refused`, `cancelled`, or `unknown` to its caller."""
    handle: Any = None
    runs: int = 0
    done: bool = False
    """A run of it has come to its end, or its expiry was noticed."""
    settled: int | None = None


@dataclass
class World:
    """What outlives an example: the server, and what a process finds when it starts."""

    server: Redis
    apps: list[Any]
    """The caller's, and one for each worker."""
    channels: list[Any]
    """kombu's, one for each worker."""


class Machine(RuleBasedStateMachine):
    """Steps are those of processes; a crash is that one forgets everything, and disk and Redis do not."""

    world: World
    held: Any

    def __init__(self) -> None:
        super().__init__()
        self.server = self.world.server
        self.server.client.flushdb()
        self.clock = testing.clock()
        type(self).held = self.clock.__enter__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 0
        self.calls: dict[str, Known] = {}
        self.messages: list[str] = []
        self.caller = Caller(self.world.apps[0], self.folder)
        self.workers = [self._hired(0), self._hired(1)]

    # ---- callers

    @rule(
        durable=st.sampled_from([True, True, False]),
        delay=st.sampled_from([0, 0, 60]),
        expires=st.sampled_from([None] * 4 + [5, 300]),
        trouble=TROUBLES,
        spared=SPARED,
        regretted=st.sampled_from([False] * 3 + [True]),
    )
    def send(self, *, durable, delay, expires, trouble, spared, regretted):
        name = f"{'durable' if durable else 'ephemeral'}-{next(_numbers)}"
        known = self.calls[name] = Known(durable, math.inf if expires is None else self.now + expires * 1000)
        options = {"task_id": name, "countdown": delay or None, "expires": expires}
        task = (work.durable if durable else work.ephemeral).using(self.caller.dispatcher)
        self.caller.link.meet(trouble, spared)
        try:
            known.handle = task.apply_async((name,), **options)
            known.standing = "accepted"
        except NotAccepted:
            known.standing = "refused"
        except OutcomeUnknown as unknown:
            known.handle = unknown.handle
        except Died:
            self.caller_dies()
        self.caller.link.meet("none")
        if known.handle and regretted:
            self._cancel(known)

    @rule()
    def send_a_durable_one(self):
        self.send(durable=True, delay=0, expires=None, trouble="none", spared=0, regretted=False)

    @rule(trouble=TROUBLES, spared=SPARED)
    def forward(self, trouble, spared):
        self.caller.link.meet(trouble, spared)
        try:
            self.caller.forward()
        except Died:
            self.caller_dies()
        self.caller.link.meet("none")

    @precondition(lambda self: self.caller.publisher.late)
    @rule()
    def late_answers_come(self):
        self.caller.publisher.hear()

    @precondition(lambda self: any(known.handle for known in self.calls.values()))
    @rule(data=st.data())
    def cancel(self, data):
        self._cancel(data.draw(st.sampled_from([known for known in self.calls.values() if known.handle])))

    @rule()
    def caller_dies(self):
        """And another one opens the spool."""
        self.caller.die()
        self.caller = Caller(self.world.apps[0], self.folder)
        for known in self.calls.values():
            known.handle = None

    @rule()
    def broker_goes_away_from_the_caller(self):
        self.caller.link.away = True

    @precondition(lambda self: self.caller.link.away)
    @rule()
    def broker_comes_back(self):
        self.caller.link.away = False
        self.caller.publisher.probe()

    # ---- workers

    @rule(number=st.integers(0, 1), begin=st.booleans())
    def take(self, number, begin):
        worker = self.workers[number]
        before = len(worker.jobs)
        self._note_message()
        worker.take()
        if begin and len(worker.jobs) > before:
            self._go(worker.jobs[-1])

    @rule(number=st.integers(0, 1))
    def fetch_and_stall(self, number):
        """Popped, and neither acknowledged nor claimed: the worker's next step may be its death."""
        self._note_message()
        self.workers[number].fetch()

    @rule(number=st.integers(0, 1))
    def kombu_restores(self, number):
        self.workers[number].restore()

    @rule(number=st.integers(0, 1), word=WORKS)
    def take_and_run(self, number, word):
        self.take(number, begin=True)
        jobs = self.workers[number].jobs
        if jobs and jobs[-1].stage == "running":
            self._go(jobs[-1], word)

    @precondition(lambda self: self._jobs())
    @rule(data=st.data(), word=WORKS, trouble=st.sampled_from(["none", "none", "lost", "silent"]), spared=SPARED)
    def go_on(self, data, word, trouble, spared):
        """A call that waits in the pool claims; one that runs comes to its end."""
        job = data.draw(st.sampled_from(self._jobs()))
        job.worker.link.meet(trouble, spared)
        self._go(job, word)
        job.worker.link.meet("none")

    @rule(number=st.integers(0, 1))
    def renew(self, number):
        self._renew(self.workers[number])

    @precondition(lambda self: self._jobs())
    @rule(data=st.data(), noticed=st.booleans())
    def process_dies(self, data, noticed):
        """One of the pool's; the worker's main process notices, or is not quick enough."""
        job = data.draw(st.sampled_from(self._jobs()))
        job.worker.jobs.remove(job)
        job.vanish()
        if noticed:
            job.is_missed()

    @rule(number=st.integers(0, 1))
    def worker_dies(self, number):
        self.workers[number].die()
        self.workers[number] = self._hired(number)

    @rule(number=st.integers(0, 1))
    def broker_leaves_or_meets_a_worker(self, number):
        link = self.workers[number].link
        link.away = not link.away

    # ---- the rest of the world

    @rule(step=STEPS, renewed=st.booleans())
    def time_passes(self, step, renewed):
        """With processes that are awake meanwhile, or with all of them standing still."""
        while step > 0:
            some = min(step, LEASE // 3) if renewed else step
            self._later(some)
            step -= some
            for worker in self.workers if renewed else ():
                self._renew(worker)

    @rule()
    def sweep(self):
        self.server.sweep()

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def message_comes_twice(self, data):
        self.server.put(data.draw(st.sampled_from(self.messages)))

    @rule(data=st.data())
    def dead_letter_is_retried(self, data):
        letters = self.server.ledger.letters
        dead = letters.ids()
        if dead:
            call = data.draw(st.sampled_from(dead))
            if letters.exhume(call) == "entered":
                known = self.calls[call]
                known.done, known.settled, known.expires = False, None, math.inf

    # ---- what is always true

    @invariant()
    def what_was_accepted_is_held(self):
        durable = {name: known for name, known in self.calls.items() if known.durable}
        held = self.server.holds(list(durable))
        spooled = {row.id for row in self.caller.spool.ls()}
        assert spooled <= set(durable), "ephemeral calls are on disk"
        for name, known in durable.items():
            state = held.get(name)
            if state in ("settled", "dead") and known.settled is None:
                known.settled = self.now
            if state == "settled" and known.expires < self.now:
                known.done = True
            assert state != "lost", (name, known)
            assert state != "settled" or known.done, f"{name} was settled and never came to an end: {known}"
            if known.standing == "accepted" and not known.done:
                assert state is not None or name in spooled, f"{name} has vanished: {known}"

    def teardown(self):
        """From whatever has happened, an honest world brings every call to its end."""
        try:
            self._set_right()
            for _ in range(30):
                if not self._settle_down():
                    break
            self.what_was_accepted_is_held()
            states = self.server.holds([name for name, known in self.calls.items() if known.durable])
            for name, known in self.calls.items():
                if known.durable and known.standing == "accepted":
                    assert known.done or states[name] == "dead", f"{name} never ran: {known}, {states.get(name)}"
            assert set(states.values()) <= {"settled", "dead"}
            assert [] == [row.id for row in self.caller.spool.ls()]
            assert not any(b"ephemeral-" in file.read_bytes() for file in self.folder.iterdir())
        finally:
            for each in (self.caller, *self.workers):
                each.die()
            self.clock.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    # ---- by the way

    def _hired(self, number: int) -> Worker:
        return Worker(self.world.apps[1 + number], self.world.channels[number], self.server.client)

    def _cancel(self, known: Known) -> None:
        if known.handle.cancel():
            assert not known.runs
            known.standing = "cancelled"

    def _jobs(self) -> list[Job]:
        return [job for worker in self.workers for job in worker.jobs]

    def _note_message(self) -> None:
        message = self.server.next_message()
        if message is not None and '"id": "durable-' in message:
            self.messages.append(message)

    def _go(self, job: Job, word: str = "") -> None:
        before = job.stage
        if before == "waiting":
            job.asked = self.now
        job.go(word)
        if job.stage == "running":
            self._began(job)
        elif job.stage == "ended":
            job.worker.jobs.remove(job)
            if before == "running" and word == "return":
                self.calls[job.call].done = True

    def _began(self, job: Job) -> None:
        known = self.calls[job.call]
        assert known.standing not in {"refused", "cancelled"}, f"{job.call} was {known.standing}, and runs"
        assert self.now <= known.expires, f"{job.call} had expired, and runs"
        if not known.durable:
            assert not known.runs, f"{job.call} is ephemeral, and runs again"
        for other in self._jobs():
            beside = other is not job and other.call == job.call and other.stage == "running"
            assert not beside or other.until <= self.now, f"{job.call} runs twice at once"
        if known.settled is not None:
            assert self.now >= known.settled + REMEMBER - SLACK, f"{job.call} had settled, and runs again"
            known.settled = None
        known.runs += 1
        # A question asked twice is one claim, and the lease began with the first.
        job.until = job.asked + LEASE - SLACK

    def _renew(self, worker: Worker) -> None:
        try:
            kept = worker.renew()
        except redis.RedisError:
            return
        for job in kept:
            job.until = self.now + LEASE - SLACK

    def _later(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.held.advance(milliseconds / 1000)
        self.server.later(milliseconds)

    def _set_right(self) -> None:
        for each in (self.caller, *self.workers):
            each.link.away = False
        self.caller.publisher.probe()
        self.caller.publisher.hear()

    def _settle_down(self) -> bool:
        """One round of honest work; whether anything is left."""
        self.caller.forward()
        self.server.sweep()
        for worker in self.workers:
            worker.restore()
            while worker.take():
                pass
            for job in list(worker.jobs):
                while job.stage not in {"ended", "gone"}:
                    self._go(job, "return")
        self.what_was_accepted_is_held()
        self._later(1_130_003)
        return bool(self.caller.spool.ls() or self.server.client.exists("dispatch:due"))
