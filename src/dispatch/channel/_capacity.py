"""Another capacity for a buffered channel that is in use."""

# The capacity counts the permits that exist, and a receiver of a closed channel stops when so many are home. So it may
# be too high for a moment, when receivers look once more, and never too low, when one would stop before an item:
#
#   - growing raises the capacity, then puts the new permits;
#   - shrinking takes a permit off the queue as a sender does, keeps it, and only then lowers the capacity.
#
# What the channel holds beyond its new capacity keeps its permits. They are taken as they come home, by a thread that
# stands among the senders until then; END sends it away as it does them.

from __future__ import annotations

import threading
from itertools import repeat
from queue import Empty
from typing import Any

from dispatch.channel._bells import ring
from dispatch.channel._channel import MOST, Channel
from dispatch.channel._marks import PERMIT, Mark


class Capacity:
    """Of one channel. Safe from any thread; begin anew with a new channel, also in a forked child."""

    def __init__(self, channel: Channel[Any]) -> None:
        if not channel.capacity:
            raise ValueError("an unbuffered channel has no slots, and gets none")
        self._channel = channel
        self._turn = threading.Lock()
        self._wanted = channel.capacity
        self._waits = False
        """Whether a thread waits for permits to come home."""

    def become(self, capacity: int) -> None:
        """Let so many items wait from now on; of those that wait already, nothing happens to the ones beyond.

        Never waits. Raises `ValueError` for less than one.
        """
        if not 0 < capacity <= MOST:
            raise ValueError(f"the capacity of a buffered channel is from 1 to {MOST}, not {capacity}")
        with self._turn:
            self._wanted = capacity
            self._grow()
            while self._excess() and self._withdraw():
                pass
            if not self._excess() or self._waits or self._channel.closed:
                return
            self._waits = True
        try:
            threading.Thread(target=self._wait_for_the_rest, name="dispatch-capacity", daemon=True).start()
        except RuntimeError:  # the interpreter is ending, or the machine gives no more threads: it stays larger
            self._waits = False

    def _excess(self) -> bool:
        return self._channel._capacity > self._wanted  # noqa: SLF001 - one room

    def _grow(self) -> None:
        channel = self._channel
        more = self._wanted - channel._capacity  # noqa: SLF001 - as above
        if more > 0:
            channel._capacity += more  # noqa: SLF001 - as above
            any(map(channel._put_permit, repeat(PERMIT, more)))  # noqa: SLF001 - in one call: no interrupt comes between
            for _ in range(more):
                ring(channel._ring_sender)  # noqa: SLF001 - as above

    def _withdraw(self) -> bool:
        """Take one permit out of use that is home. False when none is, and at the end of the channel."""
        channel = self._channel
        try:
            for permit in channel._next_permit_now:  # noqa: SLF001 - as above
                if permit is PERMIT:
                    channel._capacity -= 1  # noqa: SLF001 - as above
                    return True
                self._give_back(permit)
                break
        except Empty:
            pass
        return False

    def _wait_for_the_rest(self) -> None:
        """`become` may want more meanwhile, or less."""
        for permit in self._channel._next_permit:  # noqa: SLF001 - as above
            with self._turn:
                if permit is PERMIT and self._excess():
                    self._channel._capacity -= 1  # noqa: SLF001 - as above
                    if self._excess():
                        continue
                    self._waits = False
                    return
                self._waits = False
            self._give_back(permit)
            return

    def _give_back(self, permit: Mark) -> None:
        self._channel._put_permit(permit)  # noqa: SLF001 - as above
        ring(self._channel._ring_sender)  # noqa: SLF001 - as above
