"""The unbuffered channel: a receiver puts a permit out, and the sender who takes it brings the item."""

# Beside the invariants of _channel.py:
#
#   - permits + items = receivers under way + permits left behind;
#   - a receiver that goes away without an item takes one permit off the queue first. When none lies there, each is
#     with a sender or has become an item, so there is one for every receiver under way, and it comes at once;
#   - only an interrupted receiver may not wait for that. It leaves its permit behind, which `_left` counts, and a
#     later receiver takes that one over instead of issuing another;
#   - who waits at several channels hangs an offer to receive, or to send (a bid), which counts for nothing until it is
#     claimed (_offers.py). Who claims an offer to receive has taken a permit, and its owner is a receiver under way;
#   - who stands at the door (`_door` counts them) is about to take a permit as soon as one is put out, or to leave.

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from queue import Empty
from typing import TypeVar

from dispatch.channel._bells import UNHEARD, Bell, ring
from dispatch.channel._channel import CLOSED, ENDED, Channel
from dispatch.channel._marks import END, PERMIT, End
from dispatch.channel._offers import Hook, Offer
from dispatch.channel._selection import Commitment
from dispatch.channel._statistics import ChannelStatistics
from dispatch.channel._taking import LOOK, endlessly
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

T = TypeVar("T")

A_MOMENT = 0.001
"""Seconds that a sender at the door gets to wake up, before `receive_nowait` looks whether one still stands there."""


class Unbuffered(Channel[T], buffered=False):
    """Nothing waits in it: each item goes from a sender to a receiver who asked for one."""

    __slots__ = ("_bids", "_door", "_issue", "_left", "_offers", "_take_over")

    def __init__(self, capacity: int = 0) -> None:
        super().__init__(capacity)
        self._door: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._left: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._offers: deque[Offer] = deque()
        self._bids: deque[Offer] = deque()
        self._issue = endlessly(self._permits.put, PERMIT)
        self._take_over = endlessly(self._left.get, LOOK)

    def send(self, item: T, timeout: float | None = None) -> None:
        try:
            self._door.put(None)
            if self._offers and self._serve(item):
                return
            super().send(item, timeout)
        finally:
            self._door.get_nowait()

    def send_nowait(self, item: T) -> None:
        try:
            super().send_nowait(item)
        except WouldWait:
            if not self._serve(item):
                raise

    def receive(self, timeout: float | None = None) -> T:
        try:
            if timeout is None:
                return self._receive(self._next_item)
            if timeout <= 0:
                return self.receive_nowait()
            return self._receive(self._next_item_within(timeout))
        except (Empty, WouldWait):
            pass
        raise TimeoutError(f"nobody sent anything within {timeout} s")

    def receive_nowait(self) -> T:
        # A sender at the door needs our permit and a moment to wake up: that is handing over, not waiting for one.
        while self._receivable(0):
            try:
                return self._receive(self._next_item_within(A_MOMENT))
            except Empty:
                pass
        raise WouldWait(f"nobody waits to send to {self!r}")

    def close(self) -> None:
        try:
            super().close()
        finally:
            for offer in self._offers.copy():
                ring(offer.wake)

    def statistics(self) -> ChannelStatistics:
        seen = super().statistics()
        return seen if seen.closed else replace(seen, room=seen.room + len(self._offers))

    def _receive(self, arriving: Iterator[T | End], commitment: Commitment | None = None) -> T:
        """Ask for an item and leave with it. Raises `EndOfChannel`, and `Empty` when `arriving` does.

        With a commitment somebody took our offer for a permit, so that we have asked already.
        """
        if commitment is None:
            self._ask()
        else:
            commitment.agreed = None
        try:
            ring(self._ring_sender)
            while True:
                item = self._take(arriving)
                if item is not END:
                    return item
                if self._withdraw():
                    break
                # A sender has our permit. The item will be here in a moment, or the permit.
                arriving = self._next_item_now
                time.sleep(0)
        except BaseException:
            if not self._withdraw():
                self._leave_behind()
            raise
        if not self._closed:
            raise Empty
        if self._left.qsize():
            return self._receive(self._next_item_now)
        raise EndOfChannel(ENDED)

    def _ask(self) -> None:
        """Put a permit out, or take over one that was left behind, or bring in an item that is offered."""
        try:
            if self._left.qsize():
                for _ in self._take_over:
                    return
        except Empty:
            pass
        if self._bids and self._bring_in():
            return
        for _ in self._issue:
            return

    def _bring_in(self) -> bool:
        """Put an item on the queue that somebody offers to send; false when nobody does."""
        while not self._closed and (bid := _oldest(self._bids)) is not None:
            # The item goes through the queue: there may lie an older one of the same sender.
            bringing = endlessly(self._put_item, bid.item)
            try:
                for _ in bid.claim:
                    for _ in bringing:
                        try:
                            for _ in bid.wake:
                                break
                        except UNHEARD:
                            pass
                        return True
            except Empty:
                _discard(self._bids, bid)
        return False

    def _take(self, arriving: Iterator[T | End]) -> T | End:
        """The next item, or END when the channel says so or none came."""
        try:
            for item in arriving:
                if item is END:
                    try:
                        self._put_item(END)
                    finally:  # here, not in a function: a handler may run where one starts
                        try:
                            for _ in self._ring_receiver:
                                break
                        except UNHEARD:
                            pass
                return item
        except Empty:
            pass
        return END

    def _withdraw(self) -> bool:
        """Take one permit off the queue; false when there is none."""
        try:
            # Two looks: the first may meet the END mark, with a permit behind it.
            for permit in islice(self._next_permit_now, 2):
                if permit is PERMIT:
                    return True
                try:
                    self._put_permit(permit)
                finally:  # here, not in a function: a handler may run where one starts
                    try:
                        for _ in self._ring_sender:
                            break
                    except UNHEARD:
                        pass
        except Empty:
            pass
        return False

    def _serve(self, item: T) -> bool:
        """Bring `item` to somebody who offered to receive; false when nobody does."""
        bringing = endlessly(self._put_item, item)
        while (offer := _oldest(self._offers)) is not None:
            try:
                for _ in offer.claim:
                    # Now we have a permit in the hand, and the same look at the flag as everybody.
                    closed = self._closed
                    for _ in self._issue if closed else bringing:
                        try:
                            for _ in offer.wake:
                                break
                        except UNHEARD:
                            pass
                        break
                    ring(self._ring_receiver)
                    _discard(self._offers, offer)
                    if closed:
                        raise ChannelClosed(CLOSED)
                    return True
            except Empty:
                _discard(self._offers, offer)
        return False

    def _receivable(self, our_bids: int) -> bool:
        if self._door.qsize() or self._left.qsize() or self._closed:
            return True
        while (bid := _oldest(self._bids)) is not None and not bid.claims.qsize():
            _discard(self._bids, bid)
        return len(self._bids) > our_bids

    def _sendable(self, our_offers: int) -> bool:
        while (offer := _oldest(self._offers)) is not None and not offer.claims.qsize():
            _discard(self._offers, offer)
        return len(self._offers) > our_offers or super()._sendable(our_offers)

    def _receiver_hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:  # noqa: ARG002 - the offer wakes
        return [Hook(self._offers, offer)]

    def _sender_hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:
        return [Hook(self._bids, offer), *super()._sender_hooks(offer, bell)]

    def _settle(self, commitment: Commitment) -> T:
        return self._receive(self._next_item_now, commitment)

    def _forsake(self) -> None:
        if not self._withdraw():
            self._leave_behind()

    def _leave_behind(self) -> None:
        """Our permit is with a sender. Whoever comes next, or waits here among others, gets what it becomes."""
        self._left.put(None)
        for offer in self._offers.copy():
            ring(offer.wake)


def _oldest(offers: deque[Offer]) -> Offer | None:
    try:
        return offers[0]
    except IndexError:
        return None


def _discard(offers: deque[Offer], offer: Offer) -> None:
    with suppress(ValueError):
        offers.remove(offer)
