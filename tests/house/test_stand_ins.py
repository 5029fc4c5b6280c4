"""The destinations of `dispatch test` answer as the real ones do."""

from __future__ import annotations

import threading
from itertools import product

import pytest

import dispatch
from dispatch._celery_side import CelerySide
from dispatch._compose import destinations
from dispatch.errors import NotAccepted
from dispatch.policy import parse
from dispatch.policy.testing import load_cases, run
from dispatch.policy.testing._grammar import State
from dispatch.policy.testing._stage import Stage
from dispatch.settings import Settings
from policy.places import a_task

POLICY = """\
version: 1
destinations:
  fast: {transport: local, max_bytes: 1MiB}
  loop: {transport: local, runner: asyncio}
  queue: {transport: celery, max_payload: 2MiB}
  trusted: {transport: celery, durability: asserted}
  disk: {transport: spool, forward_to: queue}
  here: {transport: spool, run: fast}
  there: {transport: spool, run: loop}
defaults: {durability: ephemeral}
otherwise: {route_to: fast, fallback: [loop, queue, trusted, disk, here, there]}
"""
FULL = """\
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 1, on_full: {on_full}}}
  spare: {{transport: local}}
defaults: {{durability: ephemeral}}
otherwise: {{route_to: fast, fallback: [spare]}}
"""


def a_coroutine():
    from dispatch._registry import TaskSpec  # the same task, as a coroutine function

    plain = a_task()
    return TaskSpec(
        name=plain.name,
        function=plain.function,
        signature=plain.signature,
        requirements=plain.requirements,
        kind="async",
        coroutine=True,
    )


def why(answer):
    return None if answer is None else (answer.destination, answer.why)


@pytest.mark.parametrize("configured", [True, False])
def test_who_is_barred_and_what_is_too_large_is_what_the_real_ones_say(configured, closed_port, tmp_path):
    """With a broker and a name for the spool, and without either."""
    policy = parse(POLICY)
    settings = Settings(
        broker_url=f"redis://127.0.0.1:{closed_port}/0" if configured else None,
        application="shop" if configured else None,
        spool_dir=tmp_path,
    )
    celery = CelerySide(settings)
    made = destinations(policy, celery, settings)
    missing = (
        {}
        if configured
        else {name: State(**{"is": "not_configured"}) for name in ("queue", "trusted", "here", "there")}
    )
    stage = Stage(policy.destinations, missing)
    try:
        for (name, real), spec, durability in product(
            made.items(), (a_task(), a_coroutine()), ("ephemeral", "durable")
        ):
            stand_in = stage.places[name]
            assert why(real.bars(spec, durability)) == why(stand_in.bars(spec, durability)), (name, spec, durability)
            assert (real.transport, real.runs_on) == (stand_in.transport, stand_in.runs_on), name
            if configured:
                assert real.max_payload == stand_in.max_payload, name
    finally:
        for each in made.values():
            each.close(1.0, lambda call: False)
        celery.close(1.0)


@pytest.mark.parametrize("on_full", ["block", "next", "reject", "caller_runs"])
def test_a_full_pool_does_what_a_case_says_that_it_does(dispatcher, tmp_path, on_full):
    """A real one, with its worker held and its one place taken."""
    policy = FULL.format(on_full="block, block_timeout: 1ms" if on_full == "block" else on_full)
    (tmp_path / "shop.yaml").write_text(policy)
    (tmp_path / "shop_test.yaml").write_text(
        "version: 1\ncases:\n  - {name: full, given: {fast: full}, expect: {destination: fast}}\n"
    )
    [outcome] = run(load_cases(tmp_path / "shop_test.yaml"))
    house = dispatcher(policy)
    started, opened = threading.Event(), threading.Event()

    @dispatch.task(name=f"stand_ins.hold_{on_full}")
    def hold():
        started.set()
        assert opened.wait(20)

    @dispatch.task(name=f"stand_ins.add_{on_full}")
    def add():
        return 1

    hold.delay()
    assert started.wait(20)
    add.delay()
    try:
        decision = add.delay().decision
        real = (decision.destination, [(each.destination, each.why) for each in decision.passed_over])
    except NotAccepted as error:
        real = (type(error).__name__, [(each.destination, each.why) for each in error.passed_over])
    finally:
        opened.set()
        house.shutdown("5s")

    found = [(each.destination, each.why) for each in outcome.passed_over]
    assert real == (outcome.destination or outcome.error, found)
