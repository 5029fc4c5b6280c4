"""The spool, seen by a caller: a disk that keeps durable calls, and a watchman that hands them on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from copy import copy
from dataclasses import replace
from functools import cached_property
from time import monotonic
from typing import Any, Self

from dispatch._call import Call
from dispatch._clock import ticks, wall, wall_of
from dispatch._decision import Transport
from dispatch._log import logger
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import DispatchError, PassedOver
from dispatch.policy import SpoolSettings
from dispatch.pool import Drained
from dispatch.spool import PATIENCE, Entry, ForwarderStatistics, Spool
from dispatch.telemetry import messages
from dispatch.transports._arguments import Uncarried
from dispatch.transports._destination import Destination, HandOver
from dispatch.transports._outlet import Outlet, Parcel
from dispatch.transports._statistics import DestinationStatistics

_START_NS = 10**9
"""At best: the watchman's next look. Whoever is away may be away for longer, so a spool never competes on time."""

_GLANCE = 0.1
"""Seconds that whoever must not wait waits for the disk all the same: its answer takes a few milliseconds."""

_DOUBT_NS = 5 * 10**9
"""A call that its broker may have waits so long before it is published again: the answer may only be late."""


class SpoolDestination:
    """Keeps durable calls on disk, for the destination behind its outlet."""

    transport: Transport = "spool"
    always_fit = False
    max_payload = None

    def __init__(self, name: str, settings: SpoolSettings, spool: Spool, outlet: Outlet) -> None:
        self.name = name
        self.runs_on: Transport = outlet.runs_on
        self.spool = spool
        self._settings = settings
        self._outlet = outlet
        self._watchman = outlet.watchman(spool)
        self._seen = DestinationStatistics(transport=self.transport)

    def begin(self) -> None:
        """Hand on what waits, also what earlier processes have left. Twice is once."""
        self._watchman.start()

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        if durability == "ephemeral":
            why = "what is spooled may run twice, and an ephemeral call is never repeated: make it durable"
            return PassedOver(self.name, "cannot_carry", why)
        return self._named(self._outlet.bars(spec, durability))

    def unfit(self, durability: Durability) -> PassedOver | None:
        if not self._keeps:
            return PassedOver(self.name, "not_durable", self.spool.ground.why)
        return self._named(self._outlet.unfit())

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        return _START_NS

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        return {}

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        return self._named(self._outlet.refuses(spec, args, kwargs))

    # ---- taking calls

    def try_now(self, call: Call) -> bool:
        return False

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Encode here, and wait until it is synced to disk. `may_wait` is about room, and what is full stays so."""
        unfit = self.unfit(call.decision.durability)
        if unfit is not None:
            return unfit  # its broker was asked meanwhile, and does not keep what is durable
        return (yield from self._kept(call, messages.keeping(call)))

    def run_here(self, call: Call, *, awaiting: bool) -> None:
        return None

    # ---- beside

    def statistics(self) -> DestinationStatistics:
        """Of the whole file, whichever process filled it; empty where it cannot be read, or is closed."""
        return self._figures(PATIENCE) or DestinationStatistics(transport=self.transport)

    def glance(self) -> DestinationStatistics:
        self._seen = self._figures(_GLANCE) or self._seen
        return self._seen

    def _figures(self, patience: float) -> DestinationStatistics | None:
        try:
            found = self.spool.statistics(patience=patience)
        except DispatchError as error:
            logger("spool").debug("the spool's figures cannot be had", error=str(error))
            return None
        return DestinationStatistics(
            transport=self.transport,
            waiting=found.waiting + found.unknown,
            bytes=found.bytes,
            max_bytes=found.max_bytes,
            oldest_waiting_ns=found.oldest_ns,
            busy=found.leased,
            errors=self._watchman.statistics.errors,
            dead=found.dead,
        )

    def hand_on(self, calls: Collection[str] = ()) -> ForwarderStatistics:
        """Try all that waits now, once, in the calling thread; of the dead, `calls`. For who has not begun."""
        for call in calls:
            self.spool.revive(call)
        self.spool.hasten(self._outlet.name)
        return self._watchman.once()

    def revised(self, settings: SpoolSettings, behind: Destination) -> Self:
        """The same file, emptied by the same watchman, under other words of the policy."""
        other = copy(self)
        vars(other).pop("_keeps", None)
        other._settings = settings  # noqa: SLF001 - another of this class
        other._outlet = self._outlet.revised(behind)  # noqa: SLF001 - as above
        return other

    def enforce(self) -> None:
        self.spool.resize(self._settings.max_bytes)
        self._outlet.enforce()

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        """Hand on nothing more. What waits is on disk, and stays there for the next process."""
        deadline = monotonic() + grace
        self._watchman.close(grace)
        self.spool.close(max(0.0, deadline - monotonic()))
        return Drained()

    def __repr__(self) -> str:
        return f"<SpoolDestination {self.name} → {self._outlet.name} [{self.spool.path}]>"

    # ---- within

    @cached_property
    def _keeps(self) -> bool:
        return self._settings.durability == "asserted" or self.spool.ground.keeps

    def _kept(self, call: Call, trace: dict[str, str]) -> HandOver:
        # The broker that was asked before may have it, and whoever publishes it again must know.
        doubtful = any(each.why == "unknown" for each in call.decision.passed_over)
        try:
            parcel = self._outlet.pack(call, trace)
        except Uncarried as error:
            return error.passed(self.name)
        call.serialized = ticks()
        receipt = self.spool.submit(self._entry(call, parcel, messages.trace_id(trace), doubtful=doubtful))
        try:
            yield receipt
        except BaseException:
            receipt.withdraw()
            raise
        trouble = receipt.trouble
        if trouble is not None and trouble.verdict != "unknown":
            return PassedOver(self.name, trouble.verdict, trouble.detail)
        call.sent = ticks()
        call.source = self._outlet.kept(call, self.spool)
        call.keep(doubtful=doubtful or trouble is not None)
        self.begin()
        return None if trouble is None else PassedOver(self.name, "unknown", trouble.detail)

    def _entry(self, call: Call, parcel: Parcel, trace: str, *, doubtful: bool) -> Entry:
        now = wall()
        entered = wall_of(call.entered, now_wall=now, now_ticks=ticks())
        not_before = max(entered + parcel.delay_ns, now + _DOUBT_NS if doubtful else 0)
        return Entry(
            id=call.id,
            broker=self._outlet.name,
            task=call.spec.name,
            arguments=parcel.arguments,
            headers=parcel.headers,
            durability=call.decision.durability,
            entered=entered,
            attempt=call.attempt,
            not_before=not_before,
            doubtful=doubtful,
            trace=trace,
        )

    def _named(self, why: PassedOver | None) -> PassedOver | None:
        return None if why is None else replace(why, destination=self.name)
