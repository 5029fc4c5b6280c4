"""A timeout is kept, whatever the others do; and who waits with one is woken as soon as anybody else."""

import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from dispatch.channel import Channel, _bells
from dispatch.errors import ChannelClosed, EndOfChannel

CAPACITIES = pytest.mark.parametrize("capacity", [0, 1, 4])
LONG = 3600.0
"""Seconds; longer than any test waits."""


@CAPACITIES
def test_short_waits_on_new_channels_end(capacity, crew):
    """A deadline that passes while the wait is being prepared is kept too: CPython's queues may then wait for ever."""

    def wait():
        for _ in range(1500):
            with pytest.raises(TimeoutError):
                Channel(capacity).receive(1e-5)

    for _ in range(4):
        crew.start(wait)
    crew.join()


@CAPACITIES
def test_a_wait_ends_although_others_were_faster(capacity, crew, restless):
    """Woken, too late for the item, and past the deadline: CPython's queues may then wait for ever."""
    channel, over = Channel(capacity), threading.Event()

    def receive():
        while not over.is_set():
            with suppress(TimeoutError):
                channel.receive(0.0005)

    receivers = [crew.start(receive) for _ in range(5)]
    for number in range(1500):
        channel.send(number)
    over.set()  # and nobody sends or closes any more

    for receiver in receivers:
        receiver.result(10)
    assert channel._permits.qsize() == capacity
    assert not channel._item_bells


@CAPACITIES
def test_receivers_with_time_are_woken_one_by_one(capacity, crew, eventually):
    """However many wait, each item wakes one of them at once."""
    channel = Channel(capacity)
    receivers = [crew.start(channel.receive, LONG) for _ in range(10)]
    eventually(lambda: len(channel._item_bells) == 10)
    for number in range(10):
        channel.send(number)

    assert sorted(receiver.result(10) for receiver in receivers) == list(range(10))


@CAPACITIES
def test_senders_with_time_are_woken_one_by_one(capacity, crew, eventually):
    """However many wait, each receive lets one of them in at once."""
    channel = Channel(capacity)
    for _ in range(capacity):
        channel.send("before")
    senders = [crew.start(channel.send, number, LONG) for number in range(10)]
    eventually(lambda: len(channel._permit_bells) == 10)
    received = [channel.receive() for _ in range(capacity + 10)]

    assert sorted(received[capacity:]) == list(range(10))
    for sender in senders:
        assert sender.result(10) is None


def test_senders_with_time_are_let_in_by_an_iteration(crew, eventually):
    """Iterating frees slots as receiving does."""
    channel = Channel(1)
    channel.send("before")
    senders = [crew.start(channel.send, number, LONG) for number in range(5)]
    eventually(lambda: len(channel._permit_bells) == 5)
    received = [item for _, item in zip(range(6), channel, strict=False)]

    assert sorted(received[1:]) == list(range(5))
    for sender in senders:
        sender.result(10)


@CAPACITIES
def test_everybody_with_time_learns_of_the_close(capacity, crew, eventually):
    """The one who meets the mark puts it back and wakes the next."""
    receiving, sending = Channel(capacity), Channel(capacity)
    for _ in range(capacity):
        sending.send("before")
    receivers = [crew.start(receiving.receive, LONG) for _ in range(10)]
    senders = [crew.start(sending.send, number, LONG) for number in range(10)]
    eventually(lambda: len(receiving._item_bells) == len(sending._permit_bells) == 10)
    receiving.close()
    sending.close()

    assert all(isinstance(receiver.exception(10), EndOfChannel) for receiver in receivers)
    assert all(isinstance(sender.exception(10), ChannelClosed) for sender in senders)


@CAPACITIES
def test_waiting_in_vain_leaves_nothing_behind(capacity):
    """Who polls an idle channel does not fill the memory with bells."""
    channel = Channel(capacity)
    for _ in range(100):
        with pytest.raises(TimeoutError):
            channel.receive(1e-5)

    assert not channel._item_bells


def test_who_is_rung_and_interrupted_rings_for_the_next(crew, eventually, monkeypatch):
    """The item that he was rung for is not slept over by those who wait behind him."""

    class Interrupted(BaseException):
        pass

    class Unlucky:
        """A bell that is rung in the moment of an interrupt."""

        def __init__(self):
            self.waits = False

        def acquire(self, timeout=None):
            if timeout is not None:
                second.append(crew.start(channel.receive, LONG))
                eventually(lambda: len(channel._item_bells) == 2)
                channel.send("item")
                raise Interrupted

        def release(self):
            pass

    channel, second = Channel(1), []
    bells = iter([Unlucky()])
    monkeypatch.setattr(_bells, "threading", SimpleNamespace(Lock=lambda: next(bells, None) or threading.Lock()))
    with pytest.raises(Interrupted):
        channel.receive(LONG)

    assert second[0].result(10) == "item"


def test_what_came_while_the_bell_was_hung_up_is_seen(monkeypatch):
    """An item put between the look and the bell rings for nobody; so there is a second look."""

    def lock():
        channel.send("item")
        return threading.Lock()

    channel = Channel(1)
    monkeypatch.setattr(_bells, "threading", SimpleNamespace(Lock=lock))

    assert channel.receive(LONG) == "item"
