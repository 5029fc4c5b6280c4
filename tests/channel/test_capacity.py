"""A channel whose capacity changes while it is in use: nothing lost, nothing doubled, nobody left waiting.

A storm is drawn from a seed, which a failure names: `STORM_SEED=… pytest tests/channel/test_capacity.py`.
"""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispatch.channel import Channel
from dispatch.channel._capacity import Capacity
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait
from servers.patience import eventually

SEED = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**9)))


def filled(channel):
    """How many items go in until there is no room."""
    number = 0
    while True:
        try:
            channel.send_nowait(number)
        except WouldWait:
            return number
        number += 1


def test_there_is_room_for_as_many_as_it_is_told():
    """More at once, and fewer at once while it is empty."""
    channel = Channel(3)
    capacity = Capacity(channel)

    capacity.become(5)
    assert (5, 5) == (channel.capacity, filled(channel))
    for _ in range(5):
        channel.receive()
    capacity.become(2)
    assert (2, 2) == (channel.capacity, filled(channel))


def test_who_waits_for_room_gets_what_is_added():
    """With a deadline and without one."""
    channel = Channel(1)
    capacity = Capacity(channel)
    channel.send(0)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(channel.send, 1), threads.submit(channel.send, 2, 30)]
        capacity.become(3)

        assert [None, None] == [each.result(20) for each in waiting]


def test_what_waits_beyond_a_smaller_capacity_stays_and_gives_its_slot_back_to_nobody():
    """Until it was received, there is no room; then there is as much as was said."""
    channel = Channel(5)
    capacity = Capacity(channel)
    assert 5 == filled(channel)

    capacity.become(2)
    assert list(range(5)) == [channel.receive() for _ in range(5)]

    eventually(lambda: channel.capacity == 2)
    assert 2 == filled(channel)


def test_the_end_of_a_channel_sends_the_shrinking_away():
    """Its items are received all the same, and then it is at its end."""
    channel = Channel(4)
    capacity = Capacity(channel)
    assert 4 == filled(channel)
    capacity.become(1)

    channel.close()

    assert [0, 1, 2, 3] == list(channel)
    eventually(lambda: not [each for each in threading.enumerate() if each.name == "dispatch-capacity"])
    capacity.become(1)
    assert [] == list(channel)


@pytest.mark.parametrize("wrong", [0, -1, 10**9])
def test_what_is_no_capacity_of_a_buffered_channel_is_refused(wrong):
    """And an unbuffered one has none."""
    with pytest.raises(ValueError, match="capacity"):
        Capacity(Channel(1)).become(wrong)
    with pytest.raises(ValueError, match="unbuffered"):
        Capacity(Channel())


@pytest.mark.parametrize("batch", range(12))
def test_nothing_is_lost_in_a_storm(batch):  # noqa: C901 - a storm has many parts, and each is short
    """Senders, receivers and two who change the capacity; the close may fall anywhere."""
    seed = SEED + batch
    chance = random.Random(seed)
    channel = Channel(chance.randint(1, 20))
    capacity = Capacity(channel)
    in_the_middle = chance.random() < 0.5
    over = threading.Event()

    def change(its):
        while not over.is_set():
            capacity.become(its.randint(1, 30))

    def send(number, its):
        accepted = []
        for item in range(400):
            try:
                if its.random() < 0.3:
                    channel.send((number, item), its.choice([0, 0.001, None]))
                else:
                    channel.send((number, item))
            except TimeoutError:
                continue
            except ChannelClosed:
                break
            accepted.append((number, item))
        return accepted

    def receive(its):
        received = []
        while True:
            try:
                received.append(channel.receive(its.choice([0, 0.001, None])))
            except TimeoutError:
                continue
            except EndOfChannel:
                return received

    with ThreadPoolExecutor(9) as threads:
        changers = [threads.submit(change, random.Random(seed * 3 + each)) for each in range(2)]
        senders = [threads.submit(send, each, random.Random(seed * 5 + each)) for each in range(3)]
        receivers = [threads.submit(receive, random.Random(seed * 7 + each)) for each in range(3)]
        if not in_the_middle:
            for each in senders:
                each.result(30)
        channel.close()
        accepted = [item for each in senders for item in each.result(30)]
        received = [item for each in receivers for item in each.result(30)]
        over.set()
        for each in changers:
            each.result(30)

    assert sorted(accepted) == sorted(received), f"STORM_SEED={seed}"
    assert channel._permits.qsize() == channel.capacity + 1, f"STORM_SEED={seed}"
