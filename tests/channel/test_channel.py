"""What a channel is, whatever its capacity."""

import dataclasses
import queue
import weakref

import pytest

import dispatch.channel
from dispatch.channel import Channel, ChannelStatistics
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

CAPACITIES = pytest.mark.parametrize("capacity", [0, 1, 5])


def test_the_door_shows_what_it_promises():
    """`dispatch.channel` promises its names, sorted."""
    public = {name for name in vars(dispatch.channel) if not name.startswith("_")}

    assert sorted(public) == dispatch.channel.__all__
    assert {"Channel", "after", "aselect", "receive", "select", "send"} <= public


def test_a_channel_is_unbuffered_unless_told_otherwise():
    """The default capacity is 0, as in Go."""
    assert Channel().capacity == 0


@CAPACITIES
def test_it_knows_its_capacity(capacity):
    """`capacity` is what it was made with."""
    assert Channel(capacity).capacity == capacity


@CAPACITIES
def test_every_channel_is_a_channel(capacity):
    """Buffered or not, `isinstance` says Channel, and `Channel[int]` makes one."""
    assert isinstance(Channel[int](capacity), Channel)


def test_a_negative_capacity_is_refused():
    """The error names the value and the cure."""
    with pytest.raises(ValueError, match=r"cannot be negative: -1\. 0 makes it unbuffered"):
        Channel(-1)


@pytest.mark.parametrize("capacity", [1.5, "3", None])
def test_a_capacity_is_a_whole_number(capacity):
    """Anything else is a TypeError."""
    with pytest.raises(TypeError):
        Channel(capacity)


@CAPACITIES
def test_closing_twice_is_closing_once(capacity):
    """`close` is idempotent, and the end stays the end."""
    channel = Channel(capacity)
    channel.close()
    channel.close()

    assert channel.closed
    for _ in range(2):
        with pytest.raises(EndOfChannel, match="everything sent has been received"):
            channel.receive()


@CAPACITIES
def test_sending_to_a_closed_channel_is_refused(capacity):
    """Each form of send raises ChannelClosed, however often one tries."""
    channel = Channel(capacity)
    channel.close()

    for _ in range(capacity + 2):
        with pytest.raises(ChannelClosed, match="the item was not taken"):
            channel.send("late")
        with pytest.raises(ChannelClosed):
            channel.send("late", 1)
        with pytest.raises(ChannelClosed):
            channel.send_nowait("late")
    assert list(channel) == []


@CAPACITIES
def test_receiving_from_a_closed_and_empty_channel_is_the_end(capacity):
    """Each form of receive raises EndOfChannel, with or without a timeout."""
    channel = Channel(capacity)
    channel.close()

    for receive in (channel.receive, channel.receive_nowait, lambda: channel.receive(0), lambda: channel.receive(1)):
        with pytest.raises(EndOfChannel):
            receive()


@CAPACITIES
def test_an_empty_channel_makes_a_receiver_wait(capacity):
    """`receive_nowait` says WouldWait; a timeout of any kind says TimeoutError."""
    channel = Channel(capacity)

    with pytest.raises(WouldWait):
        channel.receive_nowait()
    for timeout in (0, -3, 0.001):
        with pytest.raises(TimeoutError, match=f"within {timeout} s"):
            channel.receive(timeout)
    assert Channel(capacity).statistics() == channel.statistics()


@CAPACITIES
def test_a_full_channel_makes_a_sender_wait(capacity):
    """`send_nowait` says WouldWait; a timeout of any kind says TimeoutError; nothing was taken."""
    channel = Channel(capacity)
    for number in range(capacity):
        channel.send(number)

    with pytest.raises(WouldWait):
        channel.send_nowait("too much")
    for timeout in (0, -3, 0.001):
        with pytest.raises(TimeoutError, match=f"within {timeout} s; the item was not taken"):
            channel.send("too much", timeout)
    channel.close()
    assert list(channel) == list(range(capacity))


@CAPACITIES
def test_not_a_number_is_not_a_timeout(capacity):
    """NaN is a ValueError, and leaves the channel as it was."""
    channel = Channel(capacity)

    for _ in range(capacity + 1):
        with pytest.raises(ValueError, match=r"(?i)nan"):
            channel.receive(float("nan"))
    assert Channel(capacity).statistics() == channel.statistics()


@CAPACITIES
def test_the_queues_own_error_never_shows(capacity):
    """What is raised carries no `queue.Empty` behind it."""
    channel = Channel(capacity)

    with pytest.raises(TimeoutError) as late:
        channel.receive(0)
    with pytest.raises(WouldWait) as empty:
        channel.receive_nowait()
    assert late.value.__context__ is None
    assert empty.value.__context__ is None


@CAPACITIES
def test_it_introduces_itself(capacity):
    """The repr tells how full it is, and whether it is open."""
    channel = Channel(capacity)
    filled = f"0 of {capacity}" if capacity else "unbuffered"

    assert repr(channel) == f"<Channel {filled} | open>"
    channel.close()
    assert repr(channel) == f"<Channel {filled} | closed>"


def test_its_figures_are_a_frozen_snapshot():
    """`statistics()` says how much waits and how much room there is, and does not follow the channel."""
    channel = Channel(3)
    channel.send("one")
    before = channel.statistics()
    channel.send("two")
    channel.close()

    assert before == ChannelStatistics(capacity=3, buffered=1, room=2, closed=False)
    assert channel.statistics() == ChannelStatistics(capacity=3, buffered=2, room=0, closed=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.room = 5


@CAPACITIES
def test_an_empty_channel_is_true(capacity):
    """`channel or default` never throws an empty channel away."""
    assert Channel(capacity)


@CAPACITIES
def test_it_can_be_referred_to_weakly(capacity):
    """A weak reference to a channel works, and nothing in the channel keeps it alive."""
    channel = Channel(capacity)
    reference = weakref.ref(channel)
    del channel

    assert reference() is None


@CAPACITIES
def test_queues_are_looked_up_when_a_channel_is_made(capacity, monkeypatch):
    """What `queue.SimpleQueue` names at that moment is what carries the items, so monkey patching reaches it."""

    class Patched:
        def __init__(self):
            self._queue = original()

        def __getattr__(self, name):
            return getattr(self._queue, name)

    original = queue.SimpleQueue
    monkeypatch.setattr(queue, "SimpleQueue", Patched)
    channel = Channel(capacity)

    assert {type(channel._items), type(channel._permits)} == {Patched}


@pytest.mark.parametrize("capacity", [10**9, 2**62, 10**30])
def test_a_capacity_that_no_machine_has_is_refused_at_once(capacity):
    """Each slot costs eight bytes: a slip of the keyboard must not eat the machine."""
    with pytest.raises(ValueError, match="at most 100000000"):
        Channel(capacity)
