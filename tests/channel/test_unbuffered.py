"""An unbuffered channel: a sender and a receiver meet."""

import pytest

from dispatch.channel import Channel, ChannelStatistics
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait


def one_receiver_waits(channel):
    return lambda: channel.statistics().room == 1


def one_sender_waits(channel):
    return lambda: channel._door.qsize() == 1


def test_a_send_waits_for_a_receiver(crew, eventually):
    """Nobody sends before somebody receives."""
    channel = Channel()
    sent = crew.start(channel.send, "item")
    eventually(one_sender_waits(channel))

    assert not sent.done()
    assert channel.receive() == "item"
    assert sent.result(10) is None


def test_a_receive_waits_for_a_sender(crew, eventually):
    """Nobody receives before somebody sends."""
    channel = Channel()
    received = crew.start(channel.receive)
    eventually(one_receiver_waits(channel))

    assert not received.done()
    channel.send("item")
    assert received.result(10) == "item"


def test_nothing_ever_waits_inside(crew, eventually):
    """Its length is 0, also while a sender waits."""
    channel = Channel()
    crew.start(channel.send, "item")
    eventually(one_sender_waits(channel))

    assert len(channel) == 0
    channel.receive()
    assert len(channel) == 0


def test_its_room_is_who_waits_to_receive(crew, eventually):
    """`statistics().room` counts the sends that would succeed at once."""
    channel = Channel()
    crew.start(channel.receive)
    eventually(one_receiver_waits(channel))

    assert channel.statistics() == ChannelStatistics(capacity=0, buffered=0, room=1, closed=False)
    channel.send("item")


def test_send_nowait_needs_a_waiting_receiver(crew, eventually):
    """It succeeds when somebody waits to receive, and only then."""
    channel = Channel()
    with pytest.raises(WouldWait):
        channel.send_nowait("nobody there")
    received = crew.start(channel.receive)
    eventually(one_receiver_waits(channel))
    channel.send_nowait("item")

    assert received.result(10) == "item"
    with pytest.raises(WouldWait):
        channel.send_nowait("nobody there any more")


def test_receive_nowait_takes_from_a_waiting_sender(crew, eventually):
    """It succeeds when somebody waits to send, and only then."""
    channel = Channel()
    with pytest.raises(WouldWait, match="nobody waits to send"):
        channel.receive_nowait()
    for number in range(20):
        sent = crew.start(channel.send, number)
        eventually(one_sender_waits(channel))

        assert channel.receive_nowait() == number
        sent.result(10)
    with pytest.raises(WouldWait):
        channel.receive_nowait()


def test_a_timeout_of_zero_takes_from_a_waiting_sender(crew, eventually):
    """`receive(0)` is `receive_nowait` with another error."""
    channel = Channel()
    crew.start(channel.send, "item", 10)
    eventually(one_sender_waits(channel))

    assert channel.receive(0) == "item"
    with pytest.raises(TimeoutError):
        channel.receive(0)


def test_a_receiver_that_gave_up_is_gone():
    """After a timeout no sender believes that somebody still waits."""
    channel = Channel()
    with pytest.raises(TimeoutError):
        channel.receive(0.001)

    with pytest.raises(WouldWait):
        channel.send_nowait("into the void")


def test_a_sender_that_gave_up_is_gone():
    """After a timeout no receiver gets the item."""
    channel = Channel()
    with pytest.raises(TimeoutError):
        channel.send("nobody came", 0.001)

    with pytest.raises(WouldWait):
        channel.receive_nowait()


def test_a_receiver_whose_permit_is_taken_gets_the_item(crew, eventually):
    """A receiver out of time waits the moment that a sender needs who has already agreed."""
    channel = Channel()
    received = crew.start(channel.receive, 0.01)
    permit = channel._permits.get()  # what a sender does first
    eventually(channel._permits.empty)
    with pytest.raises(TimeoutError):
        received.exception(0.05)
    channel._items.put("late")  # what a sender does last

    assert received.result(10) == "late"
    assert permit is not None


def test_a_receiver_whose_permit_comes_back_stops(crew):
    """A sender who saw the flag returns the permit, and the receiver leaves with it."""
    channel = Channel()
    received = crew.start(channel.receive)
    permit = channel._permits.get()
    channel.close()
    channel._permits.put(permit)

    assert isinstance(received.exception(10), EndOfChannel)


def test_closing_tells_everybody(crew, eventually):
    """Waiting receivers get the end; waiting senders learn that their item was not taken."""
    receiving, sending = Channel(), Channel()
    receivers = [crew.start(list, receiving) for _ in range(4)] + [crew.start(list, receiving)]
    senders = [crew.start(sending.send, number) for number in range(4)] + [crew.start(sending.send, 4, 10)]
    eventually(lambda: receiving.statistics().room == 5)
    eventually(lambda: sending._door.qsize() == 5)
    receiving.close()
    sending.close()

    assert [report.result(10) for report in receivers] == [[]] * 5
    for report in senders:
        assert isinstance(report.exception(10), ChannelClosed)
    assert list(sending) == []


def test_it_is_iterated_like_any_other(crew):
    """Iteration takes each item from its sender and ends with the close."""
    channel = Channel()

    def count():
        for number in range(100):
            channel.send(number)
        channel.close()

    crew.start(count)
    assert list(channel) == list(range(100))


def test_a_receiver_looks_behind_the_mark_for_its_permit():
    """Its permit may lie behind the END mark, when the close was faster; it is found there."""
    channel = Channel()
    channel.close()

    for _ in range(3):
        with pytest.raises(EndOfChannel):
            channel.receive()
    assert channel._permits.qsize() == 1  # the mark alone


def test_a_permit_left_behind_is_taken_over(crew, eventually):
    """What an interrupted receiver left is the next one's: its item is received, and no permit is issued for it."""
    channel = Channel()
    channel._left.put(None)
    channel._items.put("for the interrupted")

    assert channel.receive_nowait() == "for the interrupted"
    assert channel._permits.empty()
    assert channel._left.empty()


def test_a_permit_left_behind_holds_up_the_end(crew):
    """A closed channel is drained only when what interrupted receivers left has been received too."""
    channel = Channel()
    for item in ("first", "second"):
        channel._left.put(None)
        channel._items.put(item)
    channel.close()

    assert list(channel) == ["first", "second"]
