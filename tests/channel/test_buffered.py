"""A buffered channel: items wait in it."""

import gc
import queue
import threading
from types import SimpleNamespace

import pytest

from dispatch.channel import Channel
from dispatch.channel._marks import END
from dispatch.errors import ChannelClosed, WouldWait


def test_what_goes_in_first_comes_out_first():
    """Items are received in the order in which they were sent."""
    channel = Channel(4)
    for number in range(4):
        channel.send(number)

    assert [channel.receive() for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("item", [None, False, (), float("nan"), EOFError("not an error here"), Channel])
def test_anything_may_be_an_item(item):
    """An item is handed over by reference and never compared, tested or copied."""
    channel = Channel(1)

    channel.send(item)
    assert channel.receive() is item
    channel.send_nowait(item)
    assert channel.receive_nowait() is item


def test_an_item_that_refuses_comparison_travels():
    """The channel asks nothing of its items, not even equality."""

    class Aloof:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError

        def __bool__(self):
            raise AssertionError

    channel = Channel(1)
    aloof = Aloof()
    channel.send(aloof)
    channel.close()

    assert next(iter(channel)) is aloof


def test_sends_up_to_the_capacity_do_not_wait():
    """There are exactly `capacity` slots, and receiving frees one."""
    channel = Channel(2)
    channel.send_nowait("a")
    channel.send_nowait("b")
    with pytest.raises(WouldWait, match=r"<Channel 2 of 2 \| open> has no room just now"):
        channel.send_nowait("c")

    assert channel.receive_nowait() == "a"
    channel.send_nowait("c")
    assert [channel.receive_nowait(), channel.receive_nowait()] == ["b", "c"]


def test_its_length_is_what_waits():
    """`len` counts the items that can be received, open or closed."""
    channel = Channel(3)
    lengths = [len(channel)]
    for _ in range(3):
        channel.send("item")
        lengths.append(len(channel))
    channel.close()
    lengths.append(len(channel))
    lengths.extend(len(channel) for _ in channel)

    assert lengths == [0, 1, 2, 3, 3, 2, 1, 0]


def test_the_repr_counts_what_waits():
    """A glance tells how full it is."""
    channel = Channel(128)
    for number in range(12):
        channel.send(number)

    assert repr(channel) == "<Channel 12 of 128 | open>"


def test_a_sender_waits_for_room(crew):
    """A send into a full channel returns once somebody has received."""
    channel = Channel(1)
    channel.send("first")
    second = crew.start(channel.send, "second")

    assert channel.receive() == "first"
    assert second.result(10) is None
    assert channel.receive() == "second"


def test_a_sender_with_time_waits_for_room(crew):
    """A timeout that is long enough is not noticed."""
    channel = Channel(1)
    channel.send("first", 10)
    second = crew.start(channel.send, "second", float("inf"))

    assert channel.receive(10) == "first"
    second.result(10)
    assert channel.receive(float("inf")) == "second"


def test_a_receiver_waits_for_an_item(crew):
    """A receive from an empty channel returns once somebody has sent."""
    channel = Channel(1)
    waiting = [crew.start(channel.receive), crew.start(channel.receive, 10), crew.start(channel.receive, float("inf"))]
    for number in range(3):
        channel.send(number)

    assert sorted(report.result(10) for report in waiting) == [0, 1, 2]


def test_what_was_sent_before_the_close_is_received_after_it():
    """Closing stops senders only; iteration ends when the channel is drained."""
    channel = Channel(3)
    channel.send(1)
    channel.send(2)
    channel.close()

    assert list(channel) == [1, 2]
    assert list(channel) == []


def test_closing_wakes_every_receiver(crew):
    """However many wait, each learns of the end."""
    channel = Channel(4)
    waiting = [crew.start(list, channel) for _ in range(5)]
    channel.close()

    assert [report.result(10) for report in waiting] == [[]] * 5


def test_closing_wakes_every_sender(crew):
    """However many wait for room, each learns that its item was not taken."""
    channel = Channel(1)
    channel.send("taken")
    waiting = [crew.start(channel.send, number) for number in range(5)]
    channel.close()

    for report in waiting:
        assert isinstance(report.exception(10), ChannelClosed)
    assert list(channel) == ["taken"]


def test_a_receiver_does_not_stop_while_a_sender_holds_a_permit(crew, monkeypatch):
    """The end is only the end when no item can still come: a sender who was let in before the close is waited for."""
    tried_again = threading.Event()
    monkeypatch.setattr("dispatch.channel._buffered.time", SimpleNamespace(sleep=lambda _: tried_again.set()))
    channel = Channel(2)
    channel._permits.get()  # what a sender does first
    channel.close()
    received = crew.start(list, channel)
    assert tried_again.wait(10)
    assert not received.done()
    channel._items.put("late")  # what a sender does last

    assert received.result(10) == ["late"]


def test_a_sender_let_in_looks_at_the_flag(crew):
    """Who gets a permit after the close gives it back, and says so."""
    channel = Channel(1)
    channel._closed = True  # the first half of closing
    with pytest.raises(ChannelClosed):
        channel.send("late")

    assert channel._permits.qsize() == 1
    assert channel._items.qsize() == 0


def test_the_flag_is_up_before_the_marks_are_seen(monkeypatch):
    """Who meets a mark can rely on the flag: a sender let in after the last receiver stopped would lose its item."""
    flags = []

    class Watched:
        def __init__(self):
            self._queue = original()
            self.get, self.qsize = self._queue.get, self._queue.qsize

        def put(self, thing):
            if thing is END:
                flags.append(channel.closed)
            self._queue.put(thing)

    original = queue.SimpleQueue
    monkeypatch.setattr(queue, "SimpleQueue", Watched)
    channel = Channel(1)
    channel.close()

    assert flags == [True, True]


def test_a_finalizer_may_send():
    """Sending is reentrant: a finalizer may run in the middle of another send, receive or close."""
    channel = Channel(1000)

    class Loud:
        def __del__(self):
            channel.send_nowait("finalized")

    for _ in range(100):
        circle = Loud()
        circle.itself = circle
        channel.send("sent")
        channel.receive()
    del circle
    gc.collect()
    channel.close()

    assert 100 == len(list(channel))


def test_two_threads_may_iterate_over_one_iterator_each(crew):
    """Items go to whoever asks first, each to one."""
    channel = Channel(8)
    started = threading.Barrier(3)

    def drain():
        started.wait()
        return list(channel)

    shares = [crew.start(drain), crew.start(drain)]
    started.wait()
    for number in range(1000):
        channel.send(number)
    channel.close()

    first, second = (share.result(10) for share in shares)
    assert first == sorted(first)
    assert second == sorted(second)
    assert sorted(first + second) == list(range(1000))
