"""Brokers die at random moments under load and come back, and no call that they had accepted is lost."""

from __future__ import annotations

import threading

import pytest

from faults.senders import Senders
from servers.patience import eventually

BROKERS = ["synced_redis", pytest.param("private_rabbitmq", marks=pytest.mark.rabbitmq)]


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.parametrize("server", BROKERS, indirect=True)
def test_what_a_killed_broker_had_accepted_runs(server, open_shop, dice, rounds):
    """Four threads send, a worker runs, and the broker dies (SIGKILL) again and again."""
    shop = open_shop(server.url, ledger="lease: 2s" if server.url.startswith("redis") else "")
    age(server, shop)
    with shop.worker(), Senders(shop.task("work").delay) as senders:
        for _ in range(rounds(3, 20) if server.url.startswith("redis") else rounds(1, 20)):
            # Known again, and for a random time under load.
            known = len(senders.accepted) + 20
            eventually(lambda known=known: len(senders.accepted) > known, within=60)
            let_pass(dice.uniform(0, 0.5))
            server.kill()
            let_pass(dice.uniform(0, 0.5))
            server.start()
        known = len(senders.accepted) + 20
        eventually(lambda: len(senders.accepted) > known, within=60)
    with shop.worker():
        account = shop.wait_for(senders.accepted)
    print(f"{account}; {len(senders.unknown)} were unknown, of which {ran(senders.unknown, shop)} ran")

    assert not senders.errors
    assert not account.missing
    assert not (account.overlaps and server.url.startswith("redis"))


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
        server.start()
