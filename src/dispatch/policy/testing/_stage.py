"""Destinations that nothing stands behind: they answer a policy's questions as the case says that they are doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import PassedOver
from dispatch.policy._destinations import CelerySettings, DestinationSettings, LocalSettings, SpoolSettings
from dispatch.policy.testing._grammar import State

_IDLE_NS: dict[Transport, int] = {"local": 0, "celery": 2_000_000, "spool": 10**9}
"""To the first line of a task where nothing waits, before anything was measured."""


class Stage:
    """All destinations of a policy, at one moment."""

    def __init__(self, destinations: Mapping[str, DestinationSettings], given: Mapping[str, State]) -> None:
        self.places = {
            name: StandIn(name, settings, given.get(name, State()), self) for name, settings in destinations.items()
        }
        self.spools = [name for name, place in self.places.items() if place.transport == "spool"]
        self.rejected: str | None = None
        """The destination whose `on_full: reject` refused the call: nobody behind it is asked."""

    def renew(self) -> None:
        """For another walk over the same destinations."""
        self.rejected = None


class StandIn:
    """Answers as the destination would that these settings make; a test holds the two side by side."""

    always_fit = False

    def __init__(self, name: str, settings: DestinationSettings, state: State, stage: Stage) -> None:
        self.name = name
        self._settings = settings
        self._state = state
        self._stage = stage

    @property
    def transport(self) -> Transport:
        return self._settings.transport

    @property
    def runs_on(self) -> Transport:
        return self.transport if self._behind is None else self._behind.transport

    @property
    def max_payload(self) -> int | None:
        if isinstance(self._settings, LocalSettings):
            return self._settings.max_bytes
        return self._settings.max_payload if isinstance(self._settings, CelerySettings) else None

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        if self._is_missing:
            return self._passed("not_configured")
        if self._behind is not None:
            if durability == "ephemeral":
                return self._passed("cannot_carry", "what is spooled may run twice")
            return self._named(self._behind.bars(spec, self._behind.asked_for(durability)))
        if isinstance(self._settings, LocalSettings):
            if durability == "durable":
                return self._passed("not_durable", "what waits in memory dies with the process")
            if self._settings.runner == "asyncio" and not spec.coroutine:
                return self._passed("cannot_carry", "it runs coroutines alone")
        return None

    def unfit(self, durability: Durability) -> PassedOver | None:
        if self._is_missing:
            return self._passed("not_configured")
        if self._state.is_ == "breaker_open":
            return self._passed("breaker_open")
        if durability == "durable" and self.forgets:
            return self._passed("not_durable")
        if self._behind is not None:
            # A breaker that is open is what a spool is for.
            trouble = (
                None if self._behind.is_("breaker_open") else self._behind.unfit(self._behind.asked_for(durability))
            )
            return self._named(trouble)
        return self._passed("refused") if self.transport == "local" and self.is_("refused") else None

    def predicted_start_ns(self, spec: TaskSpec | None = None) -> int:  # noqa: ARG002 - the case says it for all tasks
        said = self._state.starts_in_ns
        return _IDLE_NS[self.transport] if said is None else said

    def figures(self, spec: TaskSpec) -> dict[str, int]:  # noqa: ARG002 - as above
        return {} if self._state.waiting is None else {"waiting": self._state.waiting}

    def refuses(self, spec: TaskSpec, args: Any, kwargs: Any) -> PassedOver | None:  # noqa: ARG002 - as in `Place`
        """What a hand-over would come to: here room counts, too."""
        if self._stage.rejected is not None:
            return self._passed("refused", f"{self._stage.rejected} is full and says `on_full: reject`")
        if self.is_("refused"):
            return self._passed("refused")
        if not self._is_full:
            return None
        if isinstance(self._settings, LocalSettings):
            if self._settings.on_full == "caller_runs" and not spec.coroutine:
                return None
            if self._settings.on_full == "reject":
                self._stage.rejected = self.name
        return self._passed("full")

    # ---- asked by the spool before it

    @property
    def forgets(self) -> bool:
        """Whether it was asked, or looked at, and does not keep what is durable."""
        if isinstance(self._settings, LocalSettings) or self._settings.durability == "asserted":
            return False
        return self.is_("unverified")

    def is_(self, trouble: str) -> bool:
        return self._state.is_ == trouble

    def asked_for(self, durability: Durability) -> Durability:
        """What a spool before it asks for: the disk keeps the call, and memory only runs it."""
        return "ephemeral" if self.transport == "local" else durability

    # ---- within

    @property
    def _behind(self) -> StandIn | None:
        if not isinstance(self._settings, SpoolSettings):
            return None
        return self._stage.places[self._settings.forward_to or self._settings.run or ""]

    @property
    def _is_missing(self) -> bool:
        return self.is_("not_configured") or (self._behind is not None and self._behind.is_("not_configured"))

    @property
    def _is_full(self) -> bool:
        if self.is_("full"):
            return True
        waiting = self._state.waiting or 0
        return isinstance(self._settings, LocalSettings) and waiting >= max(1, self._settings.capacity)

    def _passed(self, why: str, detail: str = "as the case says") -> PassedOver:
        return PassedOver(self.name, why, detail)

    def _named(self, why: PassedOver | None) -> PassedOver | None:
        return None if why is None else PassedOver(self.name, why.why, why.detail)
