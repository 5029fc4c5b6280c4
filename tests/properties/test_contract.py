"""The contract of SPEC, section 1, held against whatever order of steps, troubles and deaths Hypothesis finds.

Each run draws a seed and prints it; `CONTRACT_SEED=… pytest tests/properties` draws the same again, and
`CONTRACT_EXAMPLES=1000` looks for longer.
"""

from __future__ import annotations

import logging
import os
import random
from types import SimpleNamespace

import hypothesis
import pytest
from celery import signals
from celery.worker import request
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test
from kombu import pools

from dispatch.spool import Spool, Verdict
from dispatch.transports.celery import AppSource, Store, _outlet, build_app
from dispatch.transports.celery._registration import withdraw_from
from dispatch.transports.celery.worker import _claims, _expiry, settle
from dispatch.transports.spool import SpoolDestination
from properties import work
from properties.broker import Redis
from properties.machine import Machine, World

SEED = int(os.environ.get("CONTRACT_SEED") or random.SystemRandom().randrange(2**32))
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES") or 40)


@pytest.fixture
def quiet():
    """Without the log of so many troubles; whatever happens meanwhile, later tests have theirs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@pytest.fixture
def world(redis_url, monkeypatch, quiet):
    for module in (request, _expiry):  # a worker compares `expires` with the date
        monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda _: Machine.held.now))
    monkeypatch.setattr(_claims, "_pause", SimpleNamespace(wait=lambda _: work.wait_for_word("asking")))
    signals.task_postrun.connect(settle, weak=False, dispatch_uid="dispatch")
    apps = [build_app(redis_url, None) for _ in range(3)]
    for app in apps:
        app.conf.task_default_queue = "contract"
        AppSource(app, store=Store())
    connections = [app.connection_for_read() for app in apps[1:]]
    server = Redis(redis_url)
    yield World(server, apps, [connection.channel() for connection in connections])
    for connection in connections:
        connection.release()
    server.close()
    for app in apps:
        withdraw_from(app)
        app.close()
    pools.reset()


def run(world, *, seed, examples, **said):
    Machine.world = world
    rules = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **said,
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=rules)


@pytest.mark.timeout(60 + 2 * EXAMPLES)
def test_the_contract_holds_whatever_happens(world):
    """Forty steps at a time, of those of the machine."""
    print(f"CONTRACT_SEED={SEED}")  # noqa: T201 - to run it again

    run(world, seed=SEED, examples=EXAMPLES)


BROKEN = {
    "calls are not claimed": (_claims.Claims, "begin", lambda self, task, request: None),
    "nobody sweeps": (Redis, "sweep", lambda self: None),
    "silence is taken for acceptance": (_outlet, "_verdict", lambda ticket: Verdict(ticket.message.id, "accepted")),
    "ephemeral calls are spooled": (SpoolDestination, "bars", lambda self, spec, durability: None),
    "what was taken is withdrawn": (Spool, "withdraw", lambda self, call: self.drop(call) is not None),
}
"""What is put where, so that the contract breaks."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_piece_is_found(world, monkeypatch, broken):
    """The machine can fail: it notices each of these within a few examples."""
    monkeypatch.setattr(*BROKEN[broken])

    with pytest.raises(AssertionError):
        run(world, seed=3, examples=400, phases=[Phase.generate], report_multiple_bugs=False)
