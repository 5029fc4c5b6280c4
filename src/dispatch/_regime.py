"""The policy in force with all that follows from it, replaced as one thing: so no call is decided by half a policy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from dispatch._registry import TaskSpec
from dispatch.policy import DestinationSettings, Plan, Policy
from dispatch.transports import Destination


class Retired(NamedTuple):
    """A destination that the policy names no more. It finishes what it has, and comes back when it is named."""

    settings: DestinationSettings
    destination: Destination


class Regime:
    """A policy, its destinations, and the tasks bound to both so far. A call keeps to the one that it began with."""

    __slots__ = ("destinations", "plans", "policy", "retired")

    def __init__(
        self,
        policy: Policy,
        destinations: Mapping[str, Destination],
        retired: Mapping[str, Retired] = MappingProxyType({}),
    ) -> None:
        self.policy = policy
        self.destinations = destinations
        self.retired = retired
        self.plans: dict[TaskSpec, Plan] = {}

    def plan(self, spec: TaskSpec) -> Plan:
        """The task bound to the policy. Raises `NotConfigured` when it is pinned to what there is not."""
        plan = self.plans.get(spec)
        if plan is None:
            if len(self.plans) >= _PLANS_KEPT:
                self.plans.clear()
            plan = self.plans[spec] = self.policy.bind(spec, self.destinations)
        return plan

    @property
    def living(self) -> Mapping[str, Destination]:
        """Every destination that may hold calls."""
        return {**{name: each.destination for name, each in self.retired.items()}, **self.destinations}

    @property
    def settings(self) -> Mapping[str, DestinationSettings]:
        """What each of them goes by."""
        return {**{name: each.settings for name, each in self.retired.items()}, **self.policy.destinations}

    def retiring(self, policy: Policy) -> Mapping[str, Retired]:
        """Whoever lives and is not named by `policy`."""
        settings = self.settings
        return {
            name: Retired(settings[name], destination)
            for name, destination in self.living.items()
            if name not in policy.destinations
        }


_PLANS_KEPT = 4096
"""A program that asks for something else at every call must not fill its memory with plans; binding takes 10 µs."""
