"""The channel: Go's bounded hand-over between threads, on two queues and without a lock."""

# Items travel one way, permits the other. A sender takes a permit, then puts its item. A receiver of a buffered channel
# takes an item, then sends the permit home; a receiver of an unbuffered one puts a permit out, then takes an item.
#
# True at every moment, counting what lies on a queue and what a thread holds in its hand:
#
#   - buffered: permits + items = capacity (the END mark is neither);
#   - unbuffered: permits + items = receivers under way (_unbuffered.py adds those who were interrupted);
#   - an item is put only by a sender who took a permit and then saw the channel open;
#   - closed once, closed for ever; the flag is set before the marks are put;
#   - each queue of a closed channel has one END, on it or in the hand of a thread that puts it back;
#   - a hand waits for nobody: what it holds will be on a queue in a moment;
#   - who put something on a queue rings a bell if one hangs there: somebody with a deadline waits (_bells.py).
#
# So when all the permits of a closed channel lie on their queue, no item exists and none will come: only then may a
# receiver of a buffered channel stop. docs/design.md has the whole argument.
#
# A `for` over `self._next_…` makes one turn: it takes one thing, and no interrupt comes between. See _taking.py.

from __future__ import annotations

import operator
import queue
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from queue import Empty
from typing import Any, ClassVar, Generic, Self, TypeVar

from dispatch.channel._bells import UNHEARD, Bell, Bells, ring, ringing, within
from dispatch.channel._cases import Receive, Send
from dispatch.channel._marks import END, PERMIT, End, Mark
from dispatch.channel._offers import Hook, Offer
from dispatch.channel._selection import Commitment
from dispatch.channel._statistics import ChannelStatistics
from dispatch.channel._taking import LOOK, WAIT, endlessly
from dispatch.channel._waiting import choose_async
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

T = TypeVar("T")

MOST = 100_000_000
CLOSED = "the channel is closed; the item was not taken"
ENDED = "the channel is closed and everything sent has been received"


class Channel(Generic[T]):
    """A bounded hand-over of items between threads, with Go's meaning.

    Up to `capacity` items wait in the channel; with 0 none does, and a send returns when a receiver takes the item.
    What one sender sends is received in that order, each item once. Every method may be called from any thread,
    `send_nowait` and `close` also from a signal handler or a finalizer. A `timeout` is in seconds: `None` waits as
    long as it takes, 0 or less does not wait. KeyboardInterrupt, wherever it falls, loses no item and no slot.

    Raises `ValueError` for a negative capacity. A slot costs eight bytes, used or not.
    """

    __slots__ = (
        "__weakref__",
        "_capacity",
        "_closed",
        "_item_bells",
        "_items",
        "_marking",
        "_next_item",
        "_next_item_now",
        "_next_permit",
        "_next_permit_now",
        "_permit_bells",
        "_permits",
        "_put_item",
        "_put_permit",
        "_ring_receiver",
        "_ring_sender",
    )

    _kinds: ClassVar[dict[bool, type[Channel[Any]]]] = {}

    def __init_subclass__(cls, *, buffered: bool) -> None:
        Channel._kinds[buffered] = cls

    def __new__(cls, capacity: int = 0) -> Self:
        # The two kinds differ in what their receivers do with permits; the rest is here.
        return object.__new__(Channel._kinds[capacity != 0])  # type: ignore[return-value]

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = operator.index(capacity)
        if self._capacity > MOST:
            raise ValueError(f"a channel's capacity is at most {MOST}, each slot of it costs memory: {capacity}")
        if self._capacity < 0:
            raise ValueError(f"a channel's capacity cannot be negative: {capacity}. 0 makes it unbuffered")
        self._closed = False
        # Looked up now, not imported by name: gevent's monkey patching must reach it.
        self._items: queue.SimpleQueue[T | End] = queue.SimpleQueue()
        self._permits: queue.SimpleQueue[Mark] = queue.SimpleQueue()
        self._put_item = self._items.put
        self._put_permit = self._permits.put
        self._next_item = endlessly(self._items.get, WAIT)
        self._next_item_now = endlessly(self._items.get, LOOK)
        self._next_permit = endlessly(self._permits.get, WAIT)
        self._next_permit_now = endlessly(self._permits.get, LOOK)
        self._item_bells: Bells = deque()
        self._permit_bells: Bells = deque()
        self._ring_receiver = ringing(self._item_bells)
        self._ring_sender = ringing(self._permit_bells)
        for _ in range(self._capacity):
            self._permits.put(PERMIT)
        # Each queue is marked once, however many close: a second END would count as a permit that came home.
        unmarked: queue.SimpleQueue[Callable[[Mark], None]] = queue.SimpleQueue()
        unmarked.put(self._permits.put)
        unmarked.put(self._items.put)  # type: ignore[arg-type]
        self._marking = map(operator.call, endlessly(unmarked.get, LOOK), repeat(END))

    def send(self, item: T, timeout: float | None = None) -> None:
        """Hand `item` over, waiting for room, or for a receiver when the channel is unbuffered.

        Raises `ChannelClosed` when the channel is closed, also while waiting, and `TimeoutError` when the timeout
        passes; in both cases the item was not taken.
        """
        try:
            for permit in self._next_permit if timeout is None else self._next_permit_within(timeout):
                if permit is PERMIT and not self._closed:
                    try:
                        self._put_item(item)
                    finally:  # an interrupt after the put rings too
                        if self._item_bells:
                            try:
                                for _ in self._ring_receiver:
                                    break
                            except UNHEARD:
                                pass
                    return
                try:
                    self._put_permit(permit)
                finally:  # here, not in a function: a handler may run where one starts
                    try:
                        for _ in self._ring_sender:
                            break
                    except UNHEARD:
                        pass
                raise ChannelClosed(CLOSED)
        except Empty:
            pass
        # The END mark may be in another sender's hand just now; the flag is always in sight.
        if self._closed:
            raise ChannelClosed(CLOSED)
        raise TimeoutError(f"nobody made room within {timeout} s; the item was not taken")

    def send_nowait(self, item: T) -> None:
        """Hand `item` over at once. Raises `WouldWait` when there is no room, and `ChannelClosed`."""
        try:
            for permit in self._next_permit_now:
                if permit is PERMIT and not self._closed:
                    try:
                        self._put_item(item)
                    finally:  # an interrupt after the put rings too
                        if self._item_bells:
                            try:
                                for _ in self._ring_receiver:
                                    break
                            except UNHEARD:
                                pass
                    return
                try:
                    self._put_permit(permit)
                finally:  # here, not in a function: a handler may run where one starts
                    try:
                        for _ in self._ring_sender:
                            break
                    except UNHEARD:
                        pass
                raise ChannelClosed(CLOSED)
        except Empty:
            pass
        if self._closed:
            raise ChannelClosed(CLOSED)
        raise WouldWait(f"{self!r} has no room just now")

    def receive(self, timeout: float | None = None) -> T:
        """The next item, waiting for one. Raises `EndOfChannel` when it is closed and drained, and `TimeoutError`."""
        raise NotImplementedError

    def receive_nowait(self) -> T:
        """The next item, if it waits here, or with its sender. Raises `WouldWait` when not, and `EndOfChannel`."""
        raise NotImplementedError

    def close(self) -> None:
        """No more items. Whoever waits to send is told now; receivers get what was sent, then the end.

        Never waits, and once is enough: closing a closed channel does nothing.
        """
        try:
            with suppress(Empty):  # when every mark is put
                self._closed = True
                any(self._marking)  # puts both in one call, so that no interrupt leaves a channel half closed
        finally:
            ring(self._ring_receiver)
            ring(self._ring_sender)

    @property
    def capacity(self) -> int:
        """How many items may wait; 0: unbuffered."""
        return self._capacity

    @property
    def closed(self) -> bool:
        """Whether `close()` was called. Items may still wait to be received."""
        return self._closed

    def statistics(self) -> ChannelStatistics:
        """The channel's figures at this moment."""
        room = 0 if self._closed else self._permits.qsize()
        return ChannelStatistics(capacity=self._capacity, buffered=len(self), room=room, closed=self._closed)

    def __len__(self) -> int:
        """How many items wait to be received."""
        return min(max(self._items.qsize() - self._closed, 0), self._capacity)

    def __bool__(self) -> bool:
        """A channel is true, also when it is empty."""
        return True

    def __iter__(self) -> Iterator[T]:
        """Each item as it comes, until the channel is closed and drained. Several threads may iterate at once."""
        while True:
            try:
                item = self.receive()
            except EndOfChannel:
                return
            yield item

    def __repr__(self) -> str:
        filled = f"{len(self)} of {self._capacity}" if self._capacity else "unbuffered"
        return f"<Channel {filled} | {'closed' if self._closed else 'open'}>"

    async def asend(self, item: T, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as `send` has it
        """`send` from a coroutine, leaving the event loop free. Cancelled, its item may have been taken."""
        if self._sendable(0):
            with suppress(WouldWait):
                self.send_nowait(item)
                return
        await choose_async((Send(self, item),), timeout)

    async def areceive(self, timeout: float | None = None) -> T:  # noqa: ASYNC109 - as `receive` has it
        """`receive` from a coroutine: waits without holding up the event loop. Cancelled, it has taken nothing."""
        if self._receivable(0):
            try:
                return self.receive_nowait()
            except WouldWait:
                pass
        received = await choose_async((Receive[T](self),), timeout)
        if received.closed:
            raise EndOfChannel(ENDED)
        return received.item

    async def __aiter__(self) -> AsyncIterator[T]:
        """Each item as it comes, until the channel is closed and drained. Several coroutines may iterate at once."""
        while True:
            try:
                item = await self.areceive()
            except EndOfChannel:
                return
            yield item

    # How a select sees a channel. An unbuffered one knows more, see there.

    def _receivable(self, our_bids: int) -> bool:  # noqa: ARG002 - only an unbuffered channel has any
        """Whether a receive might succeed; `our_bids` hang there ourselves."""
        return self._items.qsize() > 0

    def _sendable(self, our_offers: int) -> bool:  # noqa: ARG002 - as above
        """Whether a send might succeed; `our_offers` hang there ourselves."""
        return self._permits.qsize() > 0

    def _receiver_hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:  # noqa: ARG002 - as above
        return [Hook(self._item_bells, bell, self._ring_receiver, self._items)]

    def _sender_hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:  # noqa: ARG002 - as above
        return [Hook(self._permit_bells, bell, self._ring_sender, self._permits)]

    def _settle(self, commitment: Commitment) -> T:
        raise NotImplementedError

    def _forsake(self) -> None:
        raise NotImplementedError

    def _next_permit_within(self, timeout: float) -> Iterator[Mark]:
        if timeout <= 0:
            return self._next_permit_now
        return within(timeout, self._next_permit_now, self._permits, self._permit_bells)

    def _next_item_within(self, timeout: float) -> Iterator[T | End]:
        if timeout <= 0:
            return self._next_item_now
        return within(timeout, self._next_item_now, self._items, self._item_bells)
