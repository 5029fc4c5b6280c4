"""The calls of one `map`. Those that a broker or a disk has still to answer for travel together."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from dispatch._clock import ticks
from dispatch._group import Group
from dispatch._handle import Handle, call_of
from dispatch._registry import TaskSpec
from dispatch._steps import Steps
from dispatch.errors import OutcomeUnknown, PartlySent
from dispatch.transports import Pending, UnderWay

_UNDER_WAY = 512
"""Calls whose answers are still to come: as many as a publisher sends at once, and as many to gather meanwhile."""

_SLOW_NS = 10_000_000
"""A source that takes so long over an item gains nothing from being asked for the next before this one's answer."""


class Convoy:
    """Follows each call until its answer is known, and keeps account of them all: sent, in doubt, or not sent.

    Never more are under way than have arrived, so that the first goes alone: what is wrong with all of them is known
    before a second item is drawn.
    """

    def __init__(self, start: Callable[[Any], Handle[Any] | Steps], spec: TaskSpec) -> None:
        """`start` has one item's call decided, and handed over where that needs no waiting."""
        self._start = start
        self._spec = spec
        self._handles: list[Handle[Any] | None] = []
        self._under_way: deque[_Voyage] = deque()
        self._in_doubt: list[Handle[Any]] = []
        self._unsent: list[tuple[int, Any]] = []
        self._stopped_at: int | None = None
        self._free_since = 0

    def send(self, item: Any) -> Generator[Pending, None, None] | None:
        """Send the call of `item`; what there is to wait for before the next one is drawn, `None` for nothing."""
        drawn = ticks()
        try:
            started = self._start(item)
        except BaseException:
            self._fails(len(self._handles), item)
            raise
        if isinstance(started, Handle):
            self._handles.append(started)
            return None
        return self._follow(_Voyage(len(self._handles), item, started), drawn)

    def arrive(self, leaving: int = 0) -> Generator[Pending, None, None]:
        """Wait for the answers to all but `leaving` of those under way, the oldest first."""
        if len(self._under_way) > leaving:
            # The last of them, once: who waited for each by itself would be woken for each.
            yield self._under_way[-1 - leaving].pending
        while len(self._under_way) > leaving:
            yield self._under_way[0].pending
            yield from self._walk(self._under_way.popleft())

    def stop(self) -> Generator[Pending, None, None]:
        """Take back what was not written yet, the youngest first, and hear what became of the others."""
        for voyage in reversed(self._under_way.copy()):
            if cast("UnderWay", voyage.pending).withdraw():
                self._under_way.remove(voyage)
                self._give_up(voyage)
        while self._under_way:
            voyage = self._under_way[0]
            yield voyage.pending
            self._under_way.popleft()
            try:
                self._handles[voyage.position] = voyage.go_on()
            except OutcomeUnknown as unknown:
                self._in_doubt.append(unknown.handle)
            except Exception:  # noqa: BLE001 - the first one tells why it stopped
                self._unsent.append((voyage.position, voyage.item))
            else:
                if self._handles[voyage.position] is None:
                    self._give_up(voyage)  # refused; it would have to wait for another candidate

    @property
    def group(self) -> Group[Any]:
        """Of the calls that were sent, in the order of their items."""
        return Group([handle for handle in self._handles if handle is not None])

    def tally(self) -> tuple[int, Mapping[str, int]]:
        """How many items were drawn, and how many calls each destination has."""
        drawn = max(len(self._handles), 0 if self._stopped_at is None else self._stopped_at + 1)
        return drawn, Counter(call_of(handle).decision.destination for handle in self.group)

    def account(self, error: Exception) -> PartlySent | None:
        """What a caller must know besides `error`; `None`: there is nothing else."""
        sent = self.group
        others = [each for each in self._in_doubt if each is not getattr(error, "handle", None)]
        if not len(sent) and not others:
            return None
        unsent = [item for _, item in sorted(self._unsent, key=lambda each: each[0])]
        position = len(self._handles) if self._stopped_at is None else self._stopped_at
        return PartlySent(self._spec.name, position, sent, error, unsent=unsent, in_doubt=self._in_doubt)

    # ---- within

    def _follow(self, voyage: _Voyage, drawn: int) -> Generator[Pending, None, None]:
        slow = drawn - self._free_since > _SLOW_NS
        self._handles.append(None)
        yield from self._walk(voyage)
        arrived = len(self._handles) - len(self._under_way)
        most = 0 if slow else min(arrived, _UNDER_WAY)
        if len(self._under_way) > most:
            yield from self.arrive(most // 2)
        self._free_since = ticks()

    def _walk(self, voyage: _Voyage) -> Generator[Pending, None, None]:
        """Until the call is sent, or under way."""
        thrown: BaseException | None = None
        try:
            while (handle := voyage.go_on(thrown)) is None:
                if voyage.pending.under_way:
                    self._under_way.append(voyage)
                    return
                try:
                    thrown = None
                    yield voyage.pending
                except BaseException as error:  # noqa: BLE001 - the step decides what becomes of the call
                    thrown = error
        except OutcomeUnknown as unknown:
            self._stopped_at = voyage.position
            self._in_doubt.append(unknown.handle)
            raise
        except BaseException:
            self._fails(voyage.position, voyage.item)
            raise
        self._handles[voyage.position] = handle

    def _fails(self, position: int, item: Any) -> None:
        self._stopped_at = position
        self._unsent.append((position, item))

    def _give_up(self, voyage: _Voyage) -> None:
        voyage.steps.close()
        self._unsent.append((voyage.position, voyage.item))


class _Voyage:
    """One call on its way."""

    __slots__ = ("item", "pending", "position", "steps")
    pending: Pending
    """What it waits for; there once it has gone its first step."""

    def __init__(self, position: int, item: Any, steps: Steps) -> None:
        self.position = position
        self.item = item
        self.steps = steps

    def go_on(self, thrown: BaseException | None = None) -> Handle[Any] | None:
        """To its next wait; its handle when it has arrived. Raises what the call's sender would raise."""
        try:
            self.pending = next(self.steps) if thrown is None else self.steps.throw(thrown)
        except StopIteration as end:
            handle: Handle[Any] = end.value
            return handle
        return None
