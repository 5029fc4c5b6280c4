"""`select`: one of several sends and receives, as Go's `select` does it."""

import gc
import os
import random
import threading
import weakref
from collections import Counter

import pytest

from dispatch.channel import Channel, _timers, after, receive, select, send
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

SEED = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**9)))
CAPACITIES = pytest.mark.parametrize("capacity", [0, 1, 4])
LONG = 3600.0
"""Seconds; longer than any test waits."""


def somebody_selects(channel):
    """An offer or a bell of a select hangs there."""
    return lambda: bool(
        channel._item_bells or channel._permit_bells or (channel.capacity == 0 and (channel._offers or channel._bids))
    )


def test_the_ready_case_goes_ahead():
    """What was selected says which case it was, and brings the item."""
    empty, full = Channel(1), Channel(1)
    full.send("item")
    cases = receive(empty), receive(full)
    selected = select(*cases)

    assert (selected.index, selected.item, selected.closed) == (1, "item", False)
    assert selected.case is cases[1]
    assert repr(selected) == "<Selected 1 | 'item'>"


def test_a_send_goes_ahead_when_there_is_room():
    """Exactly one item is sent, to a channel that has room."""
    full, free = Channel(1), Channel(1)
    full.send("before")
    selected = select(send(full, "no"), send(free, "yes"))

    assert (selected.index, selected.item) == (1, None)
    assert (full.receive(), free.receive()) == ("before", "yes")


@CAPACITIES
def test_with_a_default_nothing_is_waited_for(capacity):
    """As Go's `default`: it is the answer when no case is ready."""
    channel = Channel(capacity)

    assert select(receive(channel), default="nothing") == "nothing"
    assert select(default=None) is None
    assert select(None, timeout=1e-4, default="too late") == "too late"


@CAPACITIES
def test_a_timeout_is_kept_and_leaves_nothing_behind(capacity):
    """Afterwards the channel is as it was."""
    channel, full = Channel(capacity), Channel(capacity)
    for _ in range(capacity):
        full.send("before")
    for _ in range(20):
        with pytest.raises(TimeoutError, match="nothing happened"):
            select(receive(channel), send(full, "item"), timeout=1e-4)

    assert not somebody_selects(channel)()
    assert not somebody_selects(full)()
    assert channel._permits.qsize() == capacity
    assert full._permits.qsize() == 0


def test_nothing_to_wait_for_is_refused():
    """In Go it would wait for ever; so it would here."""
    with pytest.raises(ValueError, match="wait for ever"):
        select()
    with pytest.raises(ValueError, match="wait for ever"):
        select(None)


@CAPACITIES
def test_a_closed_channel_is_always_ready(capacity):
    """A receive gets what is left, then learns of the end; a send raises."""
    channel, quiet = Channel(capacity), Channel()
    for number in range(capacity):
        channel.send(number)
    channel.close()
    received = [select(receive(quiet), receive(channel)) for _ in range(capacity + 2)]

    assert [each.item for each in received if not each.closed] == list(range(capacity))
    assert [each.closed for each in received[-2:]] == [True, True]
    with pytest.raises(ChannelClosed, match="case 1"):
        select(receive(quiet), send(channel, "item"))


@CAPACITIES
def test_a_close_wakes_those_who_select(capacity, crew, eventually):
    """However many wait in one channel, all of them learn of the close."""
    receiving, sending, quiet = Channel(capacity), Channel(capacity), Channel()
    for _ in range(capacity):
        sending.send("before")
    ends = [crew.start(select, receive(quiet), receive(receiving)) for _ in range(5)]
    refused = [crew.start(select, receive(quiet), send(sending, "item")) for _ in range(5)]
    eventually(lambda: len(quiet._offers) == 10)
    receiving.close()
    sending.close()

    assert all(end.result(10).closed for end in ends)
    assert all(isinstance(report.exception(10), ChannelClosed) for report in refused)
    assert not quiet._offers


@CAPACITIES
def test_who_selects_is_woken_by_an_item(capacity, crew, eventually):
    """By any kind of send."""
    channel, quiet = Channel(capacity), Channel()
    for put in (channel.send, channel.send_nowait, lambda item: channel.send(item, LONG)):
        selected = crew.start(select, receive(quiet), receive(channel))
        eventually(lambda: len(quiet._offers) == 1)
        put("item")

        assert selected.result(10).item == "item"


@CAPACITIES
def test_who_selects_is_woken_by_room(capacity, crew, eventually):
    """By any kind of receive."""
    channel, quiet = Channel(capacity), Channel()
    for take in (channel.receive, channel.receive_nowait, lambda: channel.receive(LONG)):
        for _ in range(capacity - len(channel)):
            channel.send("before")
        selected = crew.start(select, receive(quiet), send(channel, "item"))
        eventually(lambda: len(quiet._offers) == 1)
        taken = take()

        assert selected.result(10).index == 1
        assert taken == ("before" if capacity else "item")
        while len(channel):
            channel.receive()


def test_two_selects_meet(crew, eventually):
    """Both directions on the same unbuffered channel: each deals with the other, never with itself."""
    channel = Channel()
    with pytest.raises(TimeoutError):
        select(send(channel, "to myself"), receive(channel), timeout=0.01)
    first = crew.start(select, send(channel, 1), receive(channel))
    eventually(lambda: channel._bids and channel._offers)
    second = select(send(channel, 2), receive(channel))

    assert {(first.result(10).index, first.result(10).item), (second.index, second.item)} in (
        {(0, None), (1, 1)},
        {(0, None), (1, 2)},
    )


def test_both_directions_on_a_buffered_channel():
    """With a single slot sends and receives alternate: Go's doubleselect."""
    channel = Channel(1)
    indexes = [select(send(channel, "item"), receive(channel)).index for _ in range(10)]

    assert indexes == [0, 1] * 5


@pytest.mark.parametrize("number", [2, 3, 5])
def test_ready_cases_are_equally_likely(number):
    """None is starved, wherever it stands, and whatever stands between."""
    channels = [Channel(1) for _ in range(number)]
    chosen = Counter()
    for _ in range(400 * number):
        for channel in channels:
            if not len(channel):
                channel.send("item")
        chosen[select(None, *map(receive, channels)).index - 1] += 1

    assert all(300 < chosen[index] < 500 for index in range(number)), chosen


def test_no_producer_starves(crew):
    """Two that are always ready are both served: Go's test of fairness."""
    first, second, stop = Channel(), Channel(), Channel()

    def produce(channel):
        while select(send(channel, "item"), receive(stop)).index == 0:
            pass

    crew.start(produce, first)
    crew.start(produce, second)
    chosen = Counter(select(receive(first), receive(second)).index for _ in range(300))
    stop.close()

    assert min(chosen[0], chosen[1]) > 30, chosen


def test_a_ring_is_passed_on_by_who_takes_something_else(crew, eventually):
    """Rung at two channels, a select takes from one; who waits behind it at the other is woken."""
    for _ in range(30):
        first, second = Channel(1), Channel(1)
        selected = crew.start(select, receive(first), receive(second))
        eventually(lambda first=first: len(first._item_bells) == 1)
        behind = [crew.start(channel.receive, LONG) for channel in (first, second)]
        eventually(lambda first=first, second=second: len(first._item_bells) == len(second._item_bells) == 2)
        first.send("first")
        second.send("second")
        other = 1 - selected.result(10).index

        assert behind[other].result(10) == ("first", "second")[other]
        (first, second)[1 - other].send("for the last")
        behind[1 - other].result(10)


def test_after_brings_one_item_in_time():
    """`after` is a channel as any other, and its item comes once."""
    quiet, soon, later = Channel(), after(0.005), after(LONG)

    assert select(receive(quiet), receive(soon), receive(later)).index == 1
    assert select(receive(soon), receive(after(0)), receive(later)).index == 1
    assert later.closed is False


def test_dropped_timers_are_forgotten():
    """A loop that makes a long timer each time round does not fill the memory."""
    for _ in range(1000):
        after(LONG)
    kept = weakref.ref(after(LONG))
    gc.collect()

    assert kept() is None
    assert len(_timers._timers._due) < 200


class Storm:
    """Selectors on several channels, beside plain senders and receivers, until all is sent."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.seed = seed
        self.channels = [Channel(chance.choice([0, 0, 1, 3])) for _ in range(chance.randint(1, 3))]
        self.senders, self.receivers = chance.randint(1, 4), chance.randint(1, 4)
        self.each = 25
        self.sent, self.received = Counter(), [[] for _ in range(self.receivers)]
        self.done = threading.Barrier(self.senders, action=self.close)

    def close(self):
        for channel in self.channels:
            channel.close()

    def send(self, me, chance):
        for number in range(self.each):
            item = (me, number)
            while not self.was_sent(item, chance):
                pass
        self.done.wait(30)

    def was_sent(self, item, chance):
        way = chance.random()
        try:
            if way < 0.5:
                select(
                    *(send(channel, item) for channel in self.channels), timeout=chance.choice([None, 0, 1e-5, 1e-3])
                )
            elif way < 0.75:
                chance.choice(self.channels).send(item, chance.choice([0, 1e-5, 1e-3]))
            else:
                chance.choice(self.channels).send_nowait(item)
        except (TimeoutError, WouldWait):
            return False
        return True

    def receive(self, me, chance):
        mine, still_open = self.received[me], list(self.channels)
        while still_open:
            channel = chance.choice(still_open)
            way = chance.random()
            try:
                if way < 0.6:
                    selected = select(
                        *(receive(each) for each in still_open), timeout=chance.choice([None, 0, 1e-5, 1e-3])
                    )
                    if selected.closed:
                        still_open.pop(selected.index)
                    else:
                        mine.append(selected.item)
                elif way < 0.8:
                    mine.append(channel.receive(chance.choice([0, 1e-5, 1e-3])))
                else:
                    mine.append(channel.receive_nowait())
            except (TimeoutError, WouldWait):
                pass
            except EndOfChannel:
                still_open.remove(channel)

    def run(self, crew):
        for me in range(self.receivers):
            crew.start(self.receive, me, random.Random(self.seed * 31 + me))
        for me in range(self.senders):
            crew.start(self.send, me, random.Random(self.seed * 37 + me))
        crew.join()

    def check(self):
        expected = Counter((sender, number) for sender in range(self.senders) for number in range(self.each))
        assert Counter(item for mine in self.received for item in mine) == expected
        for channel in self.channels:
            assert channel._permits.qsize() == channel.capacity + 1
            assert channel._items.qsize() == 1
            assert not somebody_selects(channel)()


@pytest.mark.parametrize("batch", range(3))
def test_nothing_is_lost_in_a_storm(batch, queues, crew, restless):
    """Whatever way it was sent and received, each item arrives once, and nothing hangs anywhere afterwards."""
    print(f"STORM_SEED={SEED}")  # noqa: T201 - shown when the test fails
    for number in range(12):
        storm = Storm(SEED + batch * 12 + number)
        storm.run(crew)
        storm.check()


def test_a_storm_in_both_directions(queues, crew, restless):
    """Everybody sends and receives on the same channels at once; what went in came out."""
    channels, over = [Channel(), Channel(), Channel(1)], Channel()

    def trade(me):
        sent, received, number = [], [], 0
        while True:
            cases = [send(channel, (me, number)) for channel in channels] + [receive(each) for each in channels]
            selected = select(receive(over), *cases)
            if selected.index == 0:
                return sent, received
            if selected.index <= 3:
                sent.append((me, number))
                number += 1
                if number == 100:
                    over.close()
            else:
                received.append(selected.item)

    traders = [crew.start(trade, me) for me in range(4)]
    books = [trader.result(30) for trader in traders]
    left = [channels[2].receive()] if len(channels[2]) else []

    assert sorted(item for sent, _ in books for item in sent) == sorted(
        [item for _, received in books for item in received] + left
    )
