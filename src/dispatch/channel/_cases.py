"""The cases of a select: one send, or one receive."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from dispatch.channel._bells import Bell
from dispatch.channel._offers import Hook, Offer
from dispatch.channel._selection import Case, Commitment

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Place(Protocol):
    """A channel, as its cases see it."""

    _items: SimpleQueue[Any]
    _permits: SimpleQueue[Any]

    def send_nowait(self, item: Any) -> None: ...
    def receive_nowait(self) -> Any: ...
    def _receivable(self, our_bids: int) -> bool: ...
    def _sendable(self, our_offers: int) -> bool: ...
    def _receiver_hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]: ...
    def _sender_hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]: ...
    def _settle(self, commitment: Commitment) -> Any: ...
    def _forsake(self) -> None: ...


class Receive(Generic[T_co]):
    """To receive from a channel."""

    __slots__ = ("channel", "queue")
    item = None

    def __init__(self, channel: Place) -> None:
        self.channel = channel
        self.queue = channel._items

    def __repr__(self) -> str:
        return f"receive({self.channel!r})"

    def ready(self, others: Sequence[Case[Any] | None]) -> bool:
        ours = sum(1 for other in others if isinstance(other, Send) and other.channel is self.channel)
        return self.channel._receivable(ours)

    def hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:
        return self.channel._receiver_hooks(offer, bell)

    def attempt(self) -> T_co:
        return self.channel.receive_nowait()  # type: ignore[no-any-return]

    def settle(self, commitment: Commitment) -> T_co:
        return self.channel._settle(commitment)  # type: ignore[no-any-return]

    def forsake(self) -> None:
        self.channel._forsake()


class Send:
    """To send an item to a channel."""

    __slots__ = ("channel", "item", "queue")

    def __init__(self, channel: Place, item: Any) -> None:
        self.channel = channel
        self.item = item
        self.queue = channel._permits

    def __repr__(self) -> str:
        return f"send({self.channel!r}, {self.item!r})"

    def ready(self, others: Sequence[Case[Any] | None]) -> bool:
        ours = sum(1 for other in others if isinstance(other, Receive) and other.channel is self.channel)
        return self.channel._sendable(ours)

    def hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:
        return self.channel._sender_hooks(offer, bell)

    def attempt(self) -> None:
        self.channel.send_nowait(self.item)

    def settle(self, commitment: Commitment) -> None:
        """Whoever claimed it has the item."""
        commitment.agreed = None

    def forsake(self) -> None:
        """Whoever claimed it has the item."""
