"""What hangs at a channel for somebody who waits at several at once."""

# A receiver of an unbuffered channel promises to take an item: that is its permit. Who waits at several channels can
# take one item only, so it promises nothing yet. It hangs an *offer* at each channel instead, and the first who claims
# one of them has it:
#
#   - all the offers of one wait share one token; claiming takes the token, and tells the owner which offer it was,
#     in one call into C;
#   - the owner claims too, with `REVOKED`, before it does anything else: then nobody can any more;
#   - a claim on an offer whose token is gone raises `Empty`: that offer is dead, and whoever finds it takes it down.

from __future__ import annotations

import operator
import queue
from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from dispatch.channel._bells import Bell, Ringing
from dispatch.channel._taking import LOOK, WAIT, endlessly

REVOKED: Final = -1


class Offer:
    """To receive, or to send `item`, from whoever claims it first."""

    __slots__ = ("claim", "claims", "item", "wake")

    def __init__(self, token: Token, index: int, bell: Bell, item: Any) -> None:
        self.claim = token.claim(index)
        self.claims = token.claims
        """Empty when the offer is dead."""
        self.wake = endlessly(bell.release)
        self.item = item


class Hook(NamedTuple):
    """Something that hangs somewhere, and for whom to ring if it is no longer there."""

    at: deque[Any]
    thing: object
    ringing: Ringing | None = None
    queue: SimpleQueue[Any] | None = None

    def take_down(self) -> bool:
        """False when somebody did before."""
        try:
            self.at.remove(self.thing)
        except ValueError:
            return False
        return True


class Token:
    """What the offers of one wait share."""

    __slots__ = ("claims", "told")

    def __init__(self) -> None:
        inbox: SimpleQueue[int] = queue.SimpleQueue()
        self.claims: SimpleQueue[Callable[[int], None]] = queue.SimpleQueue()
        self.claims.put(inbox.put)
        self.told = endlessly(inbox.get, WAIT)
        """One turn waits for the index that was claimed. It comes once, and in a moment if the token is gone."""

    def claim(self, index: int) -> Iterator[object]:
        """One turn takes the token and tells its owner `index`; raises `Empty` when somebody was faster."""
        return map(operator.call, endlessly(self.claims.get, LOOK), repeat(index))

    def revoke(self) -> None:
        """From now on nobody can claim."""
        try:
            for _ in self.claim(REVOKED):
                return
        except Empty:
            pass
