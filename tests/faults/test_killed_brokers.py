"""Brokers die at random moments under load and come back, and no call that they had accepted is lost."""

from __future__ import annotations

import threading

import pytest

from faults.senders import Senders
from servers.patience import eventually

BROKERS = ["synced_redis", pytest.param("private_rabbitmq", marks=pytest.mark.rabbitmq)]

HELD = 20
"""Calls that a worker of two processes has at most taken and not run: some for each, and what is on the way."""

PATIENCE = 180
"""Seconds in which a broker must be back: RabbitMQ takes five on an idle machine, and a minute on a crowded one."""


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.parametrize("server", BROKERS, indirect=True)
def test_what_a_killed_broker_had_accepted_runs(server, open_shop, dice, rounds):
    """Four threads send, a worker runs, and the broker dies (SIGKILL) again and again.

    One of the four sends ephemeral calls. Those go to the pool here while the broker is away, and what the worker held
    when it died may be lost: that is told, and bounded.
    """
    kills = rounds(3, 20) if server.url.startswith("redis") else rounds(1, 20)
    shop = open_shop(server.url, ledger="lease: 2s" if server.url.startswith("redis") else "")
    age(server, shop)
    local = set()

    def chat(number):
        if shop.task("chat").delay(-1 - number).decision.transport == "local":
            local.add(-1 - number)

    with shop.worker(), Senders(shop.task("work").delay, threads=3) as senders, Senders(chat, threads=1) as chats:
        for _ in range(kills):
            # Known again, and for a random time under load.
            known = len(senders.accepted) + 20
            eventually(lambda known=known: len(senders.accepted) > known, within=60)
            let_pass(dice.uniform(0, 0.5))
            server.kill()
            let_pass(dice.uniform(0, 0.5))
            server.start(deadline=PATIENCE)
        known = len(senders.accepted) + 20
        eventually(lambda: len(senders.accepted) > known, within=60)
    with shop.worker():
        durable = shop.wait_for(senders.accepted, among=lambda number: number >= 0)
        sent = [-1 - number for number in chats.accepted]
        ephemeral = shop.wait_for(sent, patience=5.0, among=lambda number: number < 0)
    print(f"durable: {durable}; {len(senders.unknown)} were unknown, of which {ran(senders.unknown, shop)} ran")
    print(f"ephemeral: {ephemeral}; {len(local)} ran here, {len(chats.unknown)} were unknown")

    assert not senders.errors + chats.errors
    assert not durable.missing
    assert not (durable.overlaps and server.url.startswith("redis"))
    assert not ephemeral.missing & local
    assert len(ephemeral.missing) <= kills * HELD


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.parametrize("server", BROKERS, indirect=True)
def test_ephemeral_calls_that_a_killed_broker_kept_run_once(server, open_shop):
    """They lay in its queue when it died, and nobody had taken them."""
    shop = open_shop(server.url)
    age(server, shop)
    eventually(lambda: shop.publisher.obstacle() is None, within=30)
    handles = [shop.task("chat").delay(number) for number in range(100)]
    server.kill()
    server.start(deadline=PATIENCE)
    with shop.worker():
        account = shop.wait_for(range(100))

    assert {"queue"} == {handle.decision.destination for handle in handles}
    assert not account.missing
    assert 0 == account.twice


def ran(numbers, shop):
    return len(shop.book.ended() & set(numbers))


def let_pass(seconds):
    """The moment of a kill is what is tried here."""
    threading.Event().wait(seconds)


def age(server, shop):
    """RabbitMQ 3.10 killed within two seconds of a quorum queue's birth never finds a leader for it again."""
    if server.url.startswith("amqp"):
        shop.publisher.warm()
        eventually(lambda: shop.publisher.proof(shop.project.name, "kept"), within=30)
        server.stop()
        server.start(deadline=PATIENCE)
