"""Many threads, few slots, every way of sending and receiving: nothing lost, nothing doubled, nobody left waiting.

CPython with a global lock never stops a thread between its permit and its item, so each storm also blows over queues
that let go in those places, as free-threaded builds do: there the flag and the permits at the end earn their keep.

A storm is drawn from a seed, which a failure names: `STORM_SEED=… pytest tests/channel/test_storms.py` draws it again
(the threads' own order is never quite the same).
"""

import os
import random
import threading
from collections import Counter

import pytest

from dispatch.channel import Channel
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

SEED = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**9)))
BATCHES = 3


class Storm:
    """One channel, its senders, receivers and closers, and what each of them saw."""

    def __init__(self, seed, *, closed_in_the_middle):
        chance = random.Random(seed)
        self.seed = seed
        self.capacity = chance.choice([0, 0, 1, 1, 2, 3, chance.randint(4, 64)])
        self.channel = Channel(self.capacity)
        self.senders = chance.randint(1, 5)
        self.receivers = chance.randint(1, 5)
        self.each = chance.randint(1, 12 if closed_in_the_middle else 60)
        self.closers = chance.randint(1, 3)
        self.closes_after = chance.randint(0, self.senders * self.each) if closed_in_the_middle else None
        self.accepted = [[] for _ in range(self.senders)]
        self.received = [[] for _ in range(self.receivers)]
        self._done = []
        self._enough = threading.Event()
        if self.closes_after == 0:
            self._enough.set()

    def run(self, crew):
        for number in range(self.receivers):
            crew.start(self.receive, number, random.Random(self.seed * 31 + number))
        for number in range(self.senders):
            crew.start(self.send, number, random.Random(self.seed * 37 + number))
        for _ in range(self.closers):
            crew.start(self.close)
        crew.join()

    def send(self, number, chance):
        """Send `each` items in every way there is; stop when the channel is closed."""
        try:
            for item in range(self.each):
                while not self.sent((number, item), chance):
                    pass
                self.accepted[number].append((number, item))
                if self.closes_after is not None and sum(map(len, self.accepted)) >= self.closes_after:
                    self._enough.set()
        except ChannelClosed:
            pass
        finally:
            self._done.append(number)
            if len(self._done) == self.senders:
                self._enough.set()

    def sent(self, item, chance):
        way = chance.random()
        try:
            if way < 0.5:
                self.channel.send(item)
            elif way < 0.8:
                self.channel.send(item, chance.choice([-1, 0, 1e-6, 1e-4, 1]))
            else:
                self.channel.send_nowait(item)
        except (TimeoutError, WouldWait):
            return False
        return True

    def receive(self, number, chance):
        """Receive in every way there is, until the end."""
        mine = self.received[number]
        iterates = chance.random() < 0.3
        try:
            while True:
                way = chance.random()
                try:
                    if iterates:
                        mine.extend(self.channel)
                        return
                    if way < 0.5:
                        mine.append(self.channel.receive())
                    elif way < 0.8:
                        mine.append(self.channel.receive(chance.choice([-1, 0, 1e-6, 1e-4, 1])))
                    else:
                        mine.append(self.channel.receive_nowait())
                except (TimeoutError, WouldWait):
                    pass
        except EndOfChannel:
            pass

    def close(self):
        """Close when enough was sent, at the latest when all senders are done."""
        self._enough.wait()
        self.channel.close()

    def check(self):
        accepted = Counter(item for items in self.accepted for item in items)
        received = Counter(item for items in self.received for item in items)
        assert received == accepted, f"{self}: lost {accepted - received}, made up {received - accepted}"
        for items in self.received:
            for sender in range(self.senders):
                ours = [item for item in items if item[0] == sender]
                assert ours == sorted(ours), f"{self}: out of order"
        assert self.channel._permits.qsize() == self.capacity + 1, f"{self}: a permit is lost or made up"
        assert self.channel._items.qsize() == 1, f"{self}: something beside the mark is left"
        assert not self.channel._item_bells, f"{self}: a bell of somebody who is gone hangs"
        assert not self.channel._permit_bells, f"{self}: a bell of somebody who is gone hangs"

    def __str__(self):
        return (
            f"STORM_SEED={SEED}, storm {self.seed}: capacity {self.capacity}, {self.senders} x {self.each} sent by, "
            f"{self.receivers} receivers, {self.closers} closers, closed after {self.closes_after}"
        )


@pytest.mark.parametrize("closed_in_the_middle", [False, True], ids=["closed-at-the-end", "closed-in-the-middle"])
@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_is_lost_in_a_storm(batch, closed_in_the_middle, queues, crew, restless):
    """Every item accepted is received, once, in its sender's order, and everybody learns of the end."""
    print(f"STORM_SEED={SEED}")  # noqa: T201 - shown when the test fails
    storms = 120 if closed_in_the_middle else 20
    for number in range(storms):
        storm = Storm(SEED + batch * storms + number, closed_in_the_middle=closed_in_the_middle)
        try:
            storm.run(crew)
        except AssertionError as left_waiting:
            raise AssertionError(f"{storm}: {left_waiting}") from None
        storm.check()


@pytest.mark.parametrize("capacity", [0, 1, 7, 64])
def test_one_receiver_sees_each_sender_in_order(capacity, queues, crew, restless):
    """With a single receiver the order of each sender is exact, and complete."""
    channel = Channel(capacity)
    done = threading.Barrier(4, action=channel.close)

    def send(sender):
        for number in range(200):
            channel.send((sender, number))
        done.wait()

    for sender in range(4):
        crew.start(send, sender)
    received = list(channel)

    for sender in range(4):
        assert [number for who, number in received if who == sender] == list(range(200))


@pytest.mark.parametrize("capacity", [0, 1, 4])
def test_giving_up_all_the_time_loses_nothing(capacity, queues, crew, restless):
    """Receivers and senders with hardly any patience: each timeout means that the item was not taken, or not there."""
    channel = Channel(capacity)
    everybody = threading.Barrier(3, action=channel.close)

    def send(sender):
        for number in range(150):
            while True:
                try:
                    channel.send((sender, number), 2e-5)
                except TimeoutError:
                    continue
                break
        everybody.wait()

    def receive():
        items = []
        while True:
            try:
                items.append(channel.receive(2e-5))
            except TimeoutError:
                continue
            except EndOfChannel:
                return items

    for sender in range(3):
        crew.start(send, sender)
    shares = [crew.start(receive) for _ in range(3)]
    received = [item for share in shares for item in share.result(20)]

    assert sorted(received) == [(sender, number) for sender in range(3) for number in range(150)]
