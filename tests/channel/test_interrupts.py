"""An exception out of a signal handler, as Ctrl-C raises one, wherever it falls: no item and no slot is lost.

The main thread works on a channel while another one sends it signals, thousands a second. What is counted is exact,
because no handler runs between the return of a channel's method and the assignment of what it returned.
"""

import asyncio
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from dispatch.channel import Channel, receive, select
from dispatch.errors import EndOfChannel, WouldWait

pytestmark = pytest.mark.usefixtures("quiet_collector")

ENOUGH = 100
"""Interrupts in one test."""
PATIENCE = 40.0
"""Seconds; only a machine that is very busy needs more than a fraction of one."""
CAPACITIES = pytest.mark.parametrize("capacity", [0, 1, 16])


class Interrupted(BaseException):
    """What the handler raises; like KeyboardInterrupt, no Exception."""


class Signals:
    """Signals to the main thread. `armed` says whether one may raise just now."""

    def __init__(self):
        self.armed = False
        self.raised = 0
        self._over = threading.Event()

    def are_enough(self):
        return self.raised >= ENOUGH

    @contextmanager
    def pouring(self):
        """Send signals without pause."""
        main = threading.get_ident()
        before = signal.signal(signal.SIGUSR1, self._handle)
        source = threading.Thread(target=self._pour, args=[main])
        source.start()
        try:
            yield
        finally:
            self.armed = False
            self._over.set()
            source.join()
            signal.signal(signal.SIGUSR1, before)

    def _pour(self, main):
        while not self._over.wait(5e-5):
            signal.pthread_kill(main, signal.SIGUSR1)

    def _handle(self, *_):
        if self.armed:
            self.armed = False
            self.raised += 1
            raise Interrupted


def send_until(channel, enough):
    """Send numbers until `enough()`; close, and say how many."""
    ends_at, number = time.monotonic() + PATIENCE, 0
    while not enough() and time.monotonic() < ends_at:
        channel.send(number)
        number += 1
    channel.close()
    return number


def receive_all(channel, take, signals):
    """Receive until the end of the channel, under signals."""
    received = []
    with signals.pouring():
        while True:
            try:
                signals.armed = True
                item = take(channel)
                signals.armed = False
            except Interrupted:
                continue
            except (TimeoutError, WouldWait):
                signals.armed = False
                continue
            except EndOfChannel:
                signals.armed = False
                break
            received.append(item)
    return received


TAKES = {
    "receive": lambda channel: channel.receive(),
    "receive-in-time": lambda channel: channel.receive(1e-3),
    "receive-nowait": lambda channel: channel.receive_nowait(),
}


@CAPACITIES
@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_an_interrupted_receiver_loses_nothing(capacity, take, crew):
    """However often it is interrupted, every item sent is received by somebody, and every permit comes home."""
    channel, signals = Channel(capacity), Signals()
    sent = crew.start(send_until, channel, signals.are_enough)
    received = receive_all(channel, take, signals)

    assert received == list(range(sent.result(10)))
    assert signals.are_enough()
    assert channel._permits.qsize() == capacity + 1
    assert channel._items.qsize() == 1
    assert not channel._item_bells


@CAPACITIES
def test_an_interrupted_iteration_loses_nothing(capacity, crew):
    """The loop dies with the exception; a new one goes on where it stopped."""
    channel, signals = Channel(capacity), Signals()
    sent = crew.start(send_until, channel, signals.are_enough)
    received, ended = [], False
    with signals.pouring():
        while not ended:
            try:
                signals.armed = True
                for item in channel:
                    signals.armed = False
                    received.append(item)
                    signals.armed = True
                signals.armed = False
                ended = True
            except Interrupted:
                pass

    assert received == list(range(sent.result(10)))
    assert signals.are_enough()
    assert channel._permits.qsize() == capacity + 1


@CAPACITIES
@pytest.mark.parametrize("timeout", [None, 1e-3])
def test_an_interrupted_sender_loses_no_slot(capacity, timeout, crew):
    """Whether its item was taken is not known, but it was not doubled, and all the slots are there again."""
    channel = Channel(capacity)
    received = crew.start(lambda: Counter(channel))
    signals, certain, number = Signals(), [], 0
    with signals.pouring():
        ends_at = time.monotonic() + PATIENCE
        while not signals.are_enough() and time.monotonic() < ends_at:
            number += 1
            try:
                signals.armed = True
                channel.send(number, timeout)
                signals.armed = False
            except (Interrupted, TimeoutError):
                signals.armed = False
                continue
            certain.append(number)
    channel.close()
    seen = received.result(20)

    assert set(certain) <= set(seen) <= set(range(number + 1))
    assert set(seen.values()) == {1}
    assert signals.are_enough()
    assert channel._permits.qsize() == capacity + 1
    if capacity == 0:
        assert channel._door.empty()


@CAPACITIES
def test_an_interrupted_close_has_closed_or_has_not(capacity):
    """There is no half-closed channel: with the flag are the marks, whatever the interrupt."""
    signals, closed = Signals(), 0
    with signals.pouring():
        ends_at = time.monotonic() + PATIENCE
        while signals.raised < 30 and time.monotonic() < ends_at:
            channel = Channel(capacity)
            try:
                signals.armed = True
                channel.close()
                signals.armed = False
            except Interrupted:
                pass

            assert channel._items.qsize() == channel.closed
            assert channel._permits.qsize() == capacity + channel.closed
            closed += channel.closed
    assert closed > 0


@CAPACITIES
def test_a_signal_handler_may_send_and_close(capacity, crew):
    """A handler that runs in the middle of a wait wakes the very thread that it interrupted."""
    channel = Channel(capacity)
    main = threading.get_ident()
    numbers = iter(range(100))

    def handle(*_):
        try:
            channel.send_nowait(next(numbers))
        except StopIteration:
            channel.close()
        except WouldWait:  # not waiting yet, or not any more
            pass

    over = threading.Event()

    def pour():
        while not over.wait(5e-5):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        crew.start(pour)
        received = list(channel)
    finally:
        over.set()
        crew.join()
        signal.signal(signal.SIGUSR1, before)

    assert received == sorted(set(received))
    assert received


@CAPACITIES
@pytest.mark.parametrize("timeout", [None, 1e-3])
def test_an_interrupted_select_loses_nothing(capacity, timeout, crew):
    """However often it is interrupted between two channels, every item arrives, and every permit comes home."""
    channels, signals, received = [Channel(capacity), Channel(capacity)], Signals(), []
    sent = [crew.start(send_until, channel, signals.are_enough) for channel in channels]
    ended = set()
    with signals.pouring():
        while len(ended) < 2:
            try:
                first, second = (None if n in ended else receive(channels[n]) for n in (0, 1))
                signals.armed = True
                # Not `select(*cases)`: after a call with a star, handlers run before what it returned is assigned.
                chosen = select(first, second, timeout=timeout)
                signals.armed = False
            except Interrupted:
                continue
            except TimeoutError:
                signals.armed = False
                continue
            if chosen.closed:
                ended.add(chosen.index)
            else:
                received.append((chosen.index, chosen.item))

    for index, channel in enumerate(channels):
        assert [item for which, item in received if which == index] == list(range(sent[index].result(10)))
        assert channel._permits.qsize() == capacity + 1
        assert channel._items.qsize() == 1
        assert not channel._item_bells
    assert signals.are_enough()


@CAPACITIES
def test_a_receiver_interrupted_while_it_wakes_a_coroutine_loses_nothing(capacity, crew):
    """Waking an event loop is C from end to end, as all that happens with an item in the hand."""

    async def produce():
        number = 0
        ends_at = time.monotonic() + PATIENCE
        while not signals.are_enough() and time.monotonic() < ends_at:
            await channel.asend(number)
            number += 1
        channel.close()
        return number

    channel, signals = Channel(capacity), Signals()
    sent = crew.start(asyncio.run, produce())
    received = receive_all(channel, TAKES["receive"], signals)

    assert received == list(range(sent.result(10)))
    assert signals.are_enough()
    assert channel._permits.qsize() == capacity + 1
