"""Which policy a dispatcher decides by, from its first to its last."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from dispatch import _compose
from dispatch._celery_side import CelerySide
from dispatch._fork import notice_fork
from dispatch._pressure import Marks, Pressure
from dispatch._pressure_watch import PressureWatch
from dispatch._regime import Regime
from dispatch._registry import TaskSpec
from dispatch._succession import files, successor
from dispatch._watch import Watch
from dispatch.errors import NotConfigured
from dispatch.policy import Plan, Policy
from dispatch.settings import Settings, read_settings
from dispatch.transports import Destination


class Reign:
    """A policy in force, and how another one comes into force. Safe from any thread."""

    def __init__(
        self,
        *,
        policy: _compose.PolicySource | None = None,
        celery: Any = None,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or read_settings()
        self.celery = CelerySide(self.settings, celery)
        self.makes_do = policy is None and self.settings.policy is None and not self.celery.configured
        """Nobody named a policy, and `no-broker` is in force for want of a broker."""
        self._sources = _compose.policy_sources(self.settings, policy, broker=self.celery.configured)
        self._watch = Watch(files(self._sources), self.reload) if self.settings.watch else None
        first = _compose.policy_in_force(self.settings, policy, broker=self.celery.configured)
        self._regime = self._own = Regime(first, _compose.destinations(first, self.celery, self.settings))
        self._pressure = self._pressure_watch()
        self._is_over = False
        self._changing = threading.RLock()

    @property
    def policy(self) -> Policy:
        """The one in force."""
        return self._regime.policy

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """Those that it names."""
        return self._regime.destinations

    def reload(self) -> Policy:
        """Read the policy's files again, and decide by them from the next call on. Returns the policy then in force.

        All of it holds, or nothing: with a mistake in it, or a change that takes a restart, `PolicyError` is raised
        with every problem, and the last good policy stays in force. Raises `NotConfigured` where the policy was not
        read from files, or the dispatcher was shut down. In a signal handler, have another thread do it.
        """
        notice_fork()
        with self._changing:
            if self._is_over or self._regime is not self._own:
                why = "it was shut down" if self._is_over else "a test plays with its destinations"
                raise NotConfigured(f"the policy of this dispatcher cannot be reloaded: {why}")
            after = successor(self._own, self._sources, self.celery, self.settings)
            if after is not self._own:
                self._regime = self._own = after
                self.celery.warm()
                _compose.begin(after.destinations)
        return after.policy

    def stage(self, policy: Policy, destinations: Mapping[str, Destination]) -> None:
        """Decide by `policy` and hand over to `destinations` from the next call on: the seam of `dispatch.testing`."""
        with self._changing:
            own = self._own
            self._regime = own if destinations is own.destinations else Regime(policy, destinations, own.retired)

    # ---- within

    def _plan(self, regime: Regime, spec: TaskSpec) -> Plan:
        notice_fork()
        if self._watch is not None and self._watch.was_begun:
            self._watch.start()  # in a forked child it has to begin anew
        if self._pressure is not None and _compose.has_local(regime.destinations):
            self._pressure.start()
        return regime.plan(spec)

    def _begin(self) -> None:
        _compose.begin(self.destinations)
        if self._watch is not None:
            self._watch.start()

    def _end(self) -> Mapping[str, Destination]:
        """No other policy comes after this. Every destination that has to be closed now."""
        with self._changing:
            self._is_over = True
        if self._watch is not None:
            self._watch.end()
        if self._pressure is not None:
            self._pressure.end()
        return self._regime.living

    def _pressure_watch(self) -> PressureWatch | None:
        """Of this process's memory, unless its marks are off; its thread starts with the first task that is bound."""
        marks = Marks.read(self.settings.memory_high, self.settings.memory_low)
        if marks is None:
            return None
        return PressureWatch(lambda: Pressure(marks), lambda why: _compose.press(self._regime.living, why))

    def _renew(self) -> None:
        """In a forked child."""
        self._is_over = False
        self._changing = threading.RLock()
        for watch in (self._watch, self._pressure):
            if watch is not None:
                watch.renew()
                self._regime.plans.clear()  # the first call here comes by `_plan`
