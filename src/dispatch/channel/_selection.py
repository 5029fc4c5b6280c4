"""One select under way: look at every case, hang up what calls us back, look again."""

# Nothing is taken while something of ours hangs: a round is hang up, peek, sleep, take down, look. Peeking counts and
# takes nothing, so that every item is taken with nothing left to do but to return it (see _taking.py).
#
# What may have happened by the time everything is taken down, and what is owed for it:
#
#   - a bell was rung: somebody put something there for whoever waited longest. We look there, or ring for the next;
#   - an offer to send was claimed: our item was taken. That is the outcome;
#   - an offer to receive was claimed: we are a receiver under way in that channel, as if our permit had been taken. We
#     settle: leave with an item, or with a permit and look on. Who cannot settle leaves the permit behind.

from __future__ import annotations

import random
from collections.abc import Sequence
from queue import Empty
from typing import Any, Generic, Protocol, TypeVar

from dispatch.channel._bells import Bell, ring
from dispatch.channel._offers import REVOKED, Hook, Offer, Token
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

T_co = TypeVar("T_co", covariant=True)


class Case(Protocol[T_co]):
    """One thing to wait for: an item of a channel, or room for one."""

    @property
    def item(self) -> Any:
        """What is to be sent."""

    def ready(self, others: Sequence[Case[Any] | None]) -> bool:
        """Whether a try might succeed; what `others` of the same select have hung up does not count."""

    def hooks(self, offer: Offer, bell: Bell) -> Sequence[Hook]:
        """What to hang up so as to be called back."""

    def attempt(self) -> T_co:
        """Send or receive. Raises `WouldWait`, `EndOfChannel` and `ChannelClosed`; nothing is called after taking."""

    def settle(self, commitment: Commitment) -> T_co:
        """What was agreed by a claim. Raises `Empty` when it came to nothing."""

    def forsake(self) -> None:
        """Leave what was agreed by a claim to others."""


class Commitment:
    """A receiver's part of a claim, until it is under way."""

    __slots__ = ("agreed",)

    def __init__(self) -> None:
        self.agreed: int | None = None


class Selected(Generic[T_co]):
    """The case that went ahead."""

    __slots__ = ("_case", "_closed", "_index", "_item")
    __match_args__ = ("index", "item")

    def __init__(self, index: int, case: Case[T_co]) -> None:
        # Made before anything is taken, and filled with nothing but assignments: no interrupt comes between.
        self._index = index
        self._case = case
        self._item: T_co | None = None
        self._closed = False

    @property
    def index(self) -> int:
        """Which case, counted from 0."""
        return self._index

    @property
    def case(self) -> Case[T_co]:
        """The case itself."""
        return self._case

    @property
    def item(self) -> T_co:
        """What was received; None after a send, and from a channel at its end."""
        return self._item  # type: ignore[return-value]

    @property
    def closed(self) -> bool:
        """Whether the receive met the end of its channel: closed, and everything sent has been received."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Selected {self._index} | {'closed' if self._closed else repr(self._item)}>"


class Selection(Generic[T_co]):
    """The cases of one select, and what hangs up for them."""

    def __init__(self, cases: Sequence[Case[T_co] | None]) -> None:
        self._cases = cases
        self._order = [index for index, case in enumerate(cases) if case is not None]
        self._hooks: list[Hook] = []
        self._rung: list[Hook] = []
        self._token: Token | None = None
        self._commitment = Commitment()

    def look(self) -> Selected[T_co]:
        """Let one of the cases go ahead that can, each as likely as the other. Raises `WouldWait` when none can."""
        random.shuffle(self._order)
        for index in self._order:
            case = self._cases[index]
            if case is None or not case.ready(()):
                continue
            selected = Selected(index, case)
            if self._rung:
                self._pass_on(case)
            try:
                selected._item = case.attempt()  # noqa: SLF001 - ours, and not yet anybody else's
                return selected  # noqa: TRY300 - in `else` it would be no different
            except EndOfChannel:
                selected._closed = True  # noqa: SLF001
                return selected
            except WouldWait:
                pass
            except ChannelClosed as error:
                raise ChannelClosed(f"case {index}: {error}") from None
        self._rung.clear()
        raise WouldWait("no case is ready")

    def hang(self, bell: Bell) -> None:
        """Hang up `bell`, and an offer for each case that needs one."""
        self._token = Token()
        for index in self._order:
            case = self._cases[index]
            if case is not None:
                offer = Offer(self._token, index, bell, case.item)
                for hook in case.hooks(offer, bell):
                    self._hooks.append(hook)
                    hook.at.append(hook.thing)

    def ready(self) -> bool:
        """Whether it is worth a look: asked when everything hangs, so that nothing is slept over."""
        return any(case is not None and case.ready(self._cases) for case in self._cases)

    def take_down(self) -> None:
        """Nobody can claim an offer any more, and nobody rings."""
        if self._token is not None:
            self._token.revoke()
            for index in self._token.told:
                self._token = None
                if index != REVOKED:
                    self._commitment.agreed = index
                break
        while self._hooks:
            hook = self._hooks[-1]
            if not hook.take_down() and hook.ringing is not None:
                self._rung.append(hook)
            self._hooks.pop()

    def settle(self) -> Selected[T_co] | None:
        """The case that somebody claimed, if somebody did and it did not come to nothing."""
        index = self._commitment.agreed
        if index is None:
            return None
        case = self._cases[index]
        if case is None:
            raise AssertionError("a case that is not there was claimed")
        selected = Selected(index, case)
        self._pass_on(None)
        try:
            selected._item = case.settle(self._commitment)  # noqa: SLF001
            return selected  # noqa: TRY300
        except EndOfChannel:
            selected._closed = True  # noqa: SLF001
            return selected
        except Empty:
            return None

    def abandon(self) -> None:
        """Leave in the middle: what was agreed is left to others, and who was rung rings for the next."""
        self.take_down()
        if self._commitment.agreed is not None:
            case = self._cases[self._commitment.agreed]
            self._commitment.agreed = None
            if case is not None:
                case.forsake()
        self._pass_on(None)

    def _pass_on(self, chosen: Case[T_co] | None) -> None:
        """Ring for the next wherever we were rung and something lies that we leave for others."""
        mine = None if chosen is None else getattr(chosen, "queue", None)
        while self._rung:
            hook = self._rung[-1]
            if hook.ringing is not None and hook.queue is not None and hook.queue is not mine and hook.queue.qsize():
                ring(hook.ringing)
            self._rung.pop()
