"""Emptying a spool towards a broker."""

from __future__ import annotations

import threading
from collections import Counter

from dispatch import testing
from dispatch.spool import Pause, _spool
from servers.patience import eventually
from spool.calls import entry, ids, verdicts

SOON = Pause(first=0.01, longest=0.02)


class Broker:
    """Answers as it is told to: a word for all, or one for each id. Remembers what it was sent."""

    def __init__(self, answer="accepted", **answers):
        self.answer = answer
        self.answers = answers
        self.sent = []
        self.arrived = threading.Condition()

    def __call__(self, rows):
        with self.arrived:
            self.sent += rows
            self.arrived.notify_all()
        return [
            each for row in rows for each in verdicts([row], self.answers.get(row.id.replace("-", "_"), self.answer))
        ]

    def has(self, number, within=10):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.sent) >= number, within)


def empty(spool):
    return lambda: not spool.ls()


def test_what_is_there_and_what_comes_is_forwarded_in_order(spool, forwarding):
    for number in range(250):
        spool.add(entry(number))
    broker = Broker()
    forwarder = forwarding(spool, broker)
    broker.has(250)
    spool.add(entry(250))
    broker.has(251)

    eventually(empty(spool))
    assert [f"call-{number}" for number in range(251)] == ids(broker.sent)
    assert 251 == forwarder.statistics.accepted


def test_an_add_wakes_it_at_once(spool, forwarding):
    """It does not wait for its next look, which here would be in an hour."""
    broker = Broker()
    forwarding(spool, broker, poll=3600)
    spool.add(entry(1))
    broker.has(1)
    eventually(empty(spool))
    spool.add(entry(2))
    broker.has(2)


def test_what_another_process_adds_is_found_by_looking(opened, forwarding):
    broker = Broker()
    forwarding(opened(), broker)
    opened().add(entry(1))

    broker.has(1)


def test_looking_writes_nothing(spool, forwarding):
    """An idle forwarder costs no sync."""
    looked = threading.Semaphore(0)
    is_due = spool.is_due
    spool.is_due = lambda broker: (is_due(broker), looked.release())[0]
    broker = Broker()
    spool.add(entry(1))
    forwarding(spool, broker, poll=0.001)
    eventually(empty(spool))
    before = spool.statistics().syncs

    for _ in range(20):
        assert looked.acquire(timeout=10)
    assert before == spool.statistics().syncs


def test_only_one_of_two_is_at_work(opened, forwarding):
    """Nothing is sent twice, however they compete."""
    first, second = opened(), opened()
    for number in range(100):
        first.add(entry(number))
    broker = Broker()
    forwarding(first, broker, count=7)
    forwarding(second, broker, count=7)

    eventually(empty(first))
    assert {1} == set(Counter(ids(broker.sent)).values())


def test_refused_and_unknown_calls_are_sent_again_under_the_same_id(spool, forwarding):
    broker = Broker("refused")
    spool.add(entry(1))
    forwarder = forwarding(spool, broker, pause=SOON)
    broker.has(2)
    broker.answer = "unknown"
    eventually(lambda: forwarder.statistics.unknown >= 2)
    broker.answer = "accepted"

    eventually(empty(spool))
    assert {"call-1"} == set(ids(broker.sent))
    assert (False, True) == (broker.sent[0].doubtful, broker.sent[-1].doubtful)
    assert broker.sent[-1].tries == len(broker.sent) - 1


def test_one_that_is_always_refused_stands_before_nobody(spool, forwarding):
    """Nor does one that will never be taken, which is set aside."""
    for number in range(10):
        spool.add(entry(number))
    broker = Broker(call_0="refused", call_1="never")
    forwarding(spool, broker, count=2, pause=SOON)

    eventually(lambda: {"call-0", "call-1"} == set(ids(spool.ls())))
    assert ["dead"] == [row.state for row in spool.ls() if row.id == "call-1"]


def test_the_pause_grows_to_its_longest_and_is_never_the_same():
    """Between a half and the whole of it, and large numbers of failures do no harm."""
    pause = Pause(first=0.5, longest=60)

    for failures, whole in ((1, 0.5), (2, 1), (5, 8), (8, 60), (100_000, 60)):
        drawn = [pause.after(failures) for _ in range(100)]
        assert whole / 2 <= min(drawn) < max(drawn) <= whole


def test_a_forward_that_raises_leaves_an_unknown_outcome(spool, forwarding):
    """Whatever it raises, even an exit. And the forwarder goes on."""
    raised = [SystemExit("from a task"), ValueError("from a driver")]
    broker = Broker()

    def forward(rows):
        if raised:
            raise raised.pop()
        return broker(rows)

    spool.add(entry(1))
    forwarder = forwarding(spool, forward, pause=SOON)
    broker.has(1)

    eventually(empty(spool))
    eventually(lambda: (2, 1) == (forwarder.statistics.unknown, forwarder.statistics.accepted))
    assert broker.sent[0].doubtful
    assert "ValueError: from a driver" in broker.sent[0].last_error or "SystemExit" in broker.sent[0].last_error


def test_what_nothing_was_said_of_is_unknown(spool, forwarding):
    spool.add(entry(1))
    forwarder = forwarding(spool, lambda rows: [], pause=SOON)

    eventually(lambda: forwarder.statistics.unknown >= 2)


def test_what_was_accepted_is_not_sent_again_while_the_disk_refuses_to_write_it_down(spool, forwarding, monkeypatch):
    broker = Broker()
    settle, broken = _spool._calls.settle, threading.Event()
    broken.set()

    def failing(*args):
        if broken.is_set():
            raise OSError(28, "No space left on device")
        settle(*args)

    monkeypatch.setattr(_spool._calls, "settle", failing)
    spool.add(entry(1))
    spool.add(entry(2))
    forwarder = forwarding(spool, broker, pause=SOON, count=1)
    eventually(lambda: forwarder.statistics.errors >= 5)
    assert ["call-1"] == ids(broker.sent)

    broken.clear()
    eventually(empty(spool))
    assert ["call-1", "call-2"] == ids(broker.sent)


def test_a_forward_that_takes_longer_than_the_lease_keeps_it(opened, forwarding):
    with testing.clock() as clock:
        first, second = opened(), opened()
        go_on, renewed = threading.Event(), threading.Semaphore(0)
        renew = first.renew
        first.renew = lambda *args, **known: (renew(*args, **known), renewed.release())[0]

        def slow(rows):
            assert go_on.wait(20)
            return verdicts(rows, "accepted")

        first.add(entry(1))
        forwarding(first, slow, lease=0.3)
        broker = Broker()
        eventually(lambda: ["leased"] == [row.state for row in first.ls()])
        forwarding(second, broker)
        for _ in range(5):
            assert renewed.acquire(timeout=10)
            clock.advance("200ms")
        go_on.set()

        eventually(empty(first))
        assert [] == broker.sent


def test_closing_waits_for_what_was_taken_and_leaves_the_rest(spool, forwarding):
    """And another may begin at once."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(rows):
        begun.set()
        assert go_on.wait(20)
        return verdicts(rows, "accepted")

    for number in range(4):
        spool.add(entry(number))
    forwarder = forwarding(spool, slow, count=2)
    assert begun.wait(10)
    assert not forwarder.close(0.01)
    go_on.set()

    assert forwarder.close(10)
    assert ["call-2", "call-3"] == ids(spool.ls())
    assert ["call-2", "call-3"] == ids(spool.take("queue", "another", count=9, lease=30))


def test_closing_ends_a_pause(spool, forwarding):
    broker = Broker("refused")
    spool.add(entry(1))
    forwarder = forwarding(spool, broker, pause=Pause(first=3600, longest=3600))
    broker.has(1)

    assert forwarder.close(10)


def test_a_row_that_cannot_be_read_stops_nobody(spool, forwarding):
    for number in range(3):
        spool.add(entry(number))
    # As after damage to the disk: headers that are no JSON.
    spool._asked(
        lambda connection: connection.execute("UPDATE calls SET headers = x'ff00' WHERE id = 'call-0'").rowcount
    )
    broker = Broker()
    forwarding(spool, broker)

    eventually(lambda: ["call-0"] == ids(spool.ls()))
    assert ["call-1", "call-2"] == ids(broker.sent)
    assert [("dead", True)] == [(row.state, "cannot be read" in row.last_error) for row in spool.ls()]
