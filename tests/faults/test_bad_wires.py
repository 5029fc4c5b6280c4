"""Wires that pass a byte a second, or break in the middle of a publish: the caller is told no more than is known."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest

from callers import ids
from dispatch.errors import NotAccepted, OutcomeUnknown
from servers.patience import eventually
from servers.proxy import Proxy

ANSWER = 20
"""Bytes of an answer, at least."""


@pytest.fixture(params=["redis_server", pytest.param("rabbitmq_server", marks=pytest.mark.rabbitmq)])
def wired(request, open_shop):
    """A shop behind a bad wire, and that wire; its broker is once a Redis and once a RabbitMQ."""
    server = request.getfixturevalue(request.param)
    with Proxy(server.port) as wire:
        url = server.url
        if url.startswith("redis"):
            url = request.getfixturevalue("redis_url")
        shop = open_shop(url.replace(f":{server.port}/", f":{wire.port}/"), deadline="1s", spare=True)
        yield Wired(shop, wire, url)


class Wired:
    """What each call was told, and what is in the queues."""

    def __init__(self, shop, wire, url):
        self.shop, self.wire, self.url = shop, wire, url
        self.told = {}

    def send(self, task, call_id):
        try:
            self.shop.task(task).apply_async((0,), task_id=call_id)
        except NotAccepted:
            word = "refused"
        except OutcomeUnknown as error:
            word = "unknown" if error.handle.id == call_id else "another's handle"
        else:
            word = "accepted"
        self.told[call_id] = word
        return word

    def cost(self, task):
        """Bytes that pass for one call, answer included; the least of some, since others use the wire now and then."""
        return min(self._cost(task, f"one more {number}") for number in range(5))

    def _cost(self, task, call_id):
        self.wire.fuse = 10**6
        self.send(task, call_id)
        left, self.wire.fuse = self.wire.fuse, None
        return 10**6 - left

    def found(self):
        """How often each call is in a queue; on RabbitMQ it is taken out."""
        name = self.shop.project.name
        return Counter([*ids(self.url, name), *ids(self.url, f"{name}-spare")])

    def with_word(self, word):
        return {each for each, said in self.told.items() if said == word}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("task", ["work", "repeat"])
def test_a_connection_that_is_reset_in_the_middle_of_a_publish_is_answered_for_truthfully(wired, task, dice, rounds):
    """After any of its bytes, or of the answer's: what was accepted is there, what was refused is not.

    An idempotent call goes on to the next candidate, under the same id. On Redis the ledger knows it again, and it
    is there once; on RabbitMQ it may be there in both queues.
    """
    for number in range(10):  # until both queues are there
        eventually(lambda number=number: wired.send("repeat", f"warm-{number}") == "accepted")
    cost = wired.cost(task)
    for number in range(rounds(40, 1000)):
        # Half of them in the answer's last bytes: then the broker has the call, and its caller does not know.
        wired.wire.fuse = dice.choice([dice.randrange(1, cost), cost - dice.randrange(1, ANSWER)])
        wired.send(task, f"call-{number}")
        wired.wire.fuse = None
        eventually(lambda: wired.send(task, f"calm-{len(wired.told)}") == "accepted")
    found = wired.found()
    print({word: len(wired.with_word(word)) for word in ("accepted", "refused", "unknown")}, Counter(found.values()))

    assert wired.with_word("accepted") <= found.keys()
    assert not wired.with_word("refused") & found.keys()
    if task == "work":
        assert wired.with_word("unknown") & found.keys()
        assert wired.with_word("unknown") - found.keys()
        assert 1 == max(found.values())
    else:
        assert not wired.with_word("unknown")
        assert max(found.values()) == (1 if wired.url.startswith("redis") else 2)


@pytest.mark.parametrize("task", ["work", "repeat"])
def test_a_wire_that_passes_a_byte_a_second_makes_a_call_unknown(wired, task):
    """Its caller waits for the deadline; the next call is refused or unknown too, and a good wire takes calls again."""
    eventually(lambda: wired.send(task, "before") == "accepted")
    wired.wire.delay, wired.wire.chunk = 1.0, 1
    assert "unknown" == wired.send(task, "slow")
    assert "accepted" != wired.send(task, "behind")
    wired.wire.delay, wired.wire.chunk = 0.0, 65536
    eventually(lambda: wired.send(task, f"calm-{len(wired.told)}") == "accepted", within=30)
    found = wired.found()

    assert wired.with_word("accepted") <= found.keys()
    assert not wired.with_word("refused") & found.keys()


def test_behind_a_wire_that_passes_a_byte_a_second_ephemeral_calls_go_elsewhere(wired):
    """The one in hand is unknown after the deadline, and may be there once; those behind it run in the pool here."""
    shop, wire = wired.shop, wired.wire

    def taken(transport, number):
        """The id of a call that went this way, or nothing. Until the breaker is open, one more may be unknown."""
        with suppress(OutcomeUnknown):
            handle = shop.task("chat").delay(number)
            return handle.id if handle.decision.transport == transport else None

    eventually(lambda: wired.send("repeat", "before") == "accepted")
    wire.delay, wire.chunk = 1.0, 1
    assert "unknown" == wired.send("chat", "slow")
    behind = {eventually(lambda number=number: taken("local", number), within=30) for number in range(1, 6)}
    eventually(lambda: {1, 2, 3, 4, 5} <= shop.book.ended())
    wire.delay, wire.chunk = 0.0, 65536
    there = eventually(lambda: taken("celery", 6), within=30)
    found = wired.found()

    assert 1 == found[there]
    assert found["slow"] <= 1
    assert not behind & found.keys()
