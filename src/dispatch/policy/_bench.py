"""The destinations as one task sees them: which its pin leaves, and which can never take it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch._units import show_size
from dispatch.errors import NotConfigured, PassedOver
from dispatch.policy._estimate import Estimate
from dispatch.policy._place import Place
from dispatch.policy._rule import Rule

Entry: TypeAlias = Place | PassedOver
"""A candidate, or a destination that was to be one and why it cannot be."""

_LIMIT: dict[Transport, str] = {"local": "max_bytes", "celery": "max_payload"}
"""The key that says how large a payload a destination carries."""


class Bench:
    """Answers, rule by rule, who is a candidate. Raises `NotConfigured` for a pin that nothing in the policy obeys.

    `only` narrows: of what the rule names, it keeps the destinations of that transport, and where there is none,
    the call is not accepted. `route_to` names: that destination is the candidate, whatever the rule names, for the
    task said so beforehand; what the destination itself cannot take, it still does not get.
    """

    def __init__(self, spec: TaskSpec, durability: Durability, places: Mapping[str, Place]) -> None:
        self._spec = spec
        self._durability: Durability = durability
        self._places = places
        self._named = spec.requirements.route_to
        self._only = spec.requirements.only
        self._seen: dict[str, Entry] = {}
        self._kept_of: dict[tuple[str, ...], tuple[Entry, ...]] = {}
        self._look_at_pin()

    @property
    def pinned(self) -> bool:
        return self._only is not None or self._named is not None

    def place(self, name: str) -> Place:
        return self._places[name]

    def entries(self, rule: Rule, size: Estimate) -> tuple[Entry, ...]:
        """Who is asked for a call of `size` that `rule` chose, in order."""
        return tuple(self._unless_too_big(entry, size) for entry in self._kept(rule))

    def nominal(self, rule: Rule) -> Place:
        """The destination that `rule`, or the pin, names first."""
        return self._places[self._named or rule.targets[0]]

    def words(self, rule: Rule) -> str | None:
        """What the pin says, and whom it leaves out of what `rule` names; `None` without a pin."""
        if not self.pinned:
            return None
        pins = [f"only={self._only!r}"] if self._only else []
        pins += [f"route_to={self._named!r}"] if self._named else []
        left_out = [name for name in rule.targets if not self._obeys(name)]
        return f"pinned with {', '.join(pins)}" + (f", which leaves out {', '.join(left_out)}" if left_out else "")

    def cuts(self, rules: Iterable[Rule]) -> frozenset[int]:
        """The payload sizes at which a candidate of one of `rules` becomes too small."""
        candidates = (entry for rule in rules for entry in self._kept(rule) if not isinstance(entry, PassedOver))
        limits = {candidate.name: candidate.max_payload for candidate in candidates}
        return frozenset(limit + 1 for limit in limits.values() if limit is not None)

    def _kept(self, rule: Rule) -> tuple[Entry, ...]:
        targets = rule.targets if self._named is None else (self._named,)
        kept = self._kept_of.get(targets)
        if kept is None:
            obeying = tuple(self._entry(name) for name in targets if self._obeys(name))
            kept = self._kept_of[targets] = obeying or tuple(self._disobeying(name) for name in targets)
        return kept

    def _obeys(self, name: str) -> bool:
        return self._named in (None, name) and self._only in (None, self._places[name].runs_on)

    def _entry(self, name: str) -> Entry:
        entry = self._seen.get(name)
        if entry is None:
            place = self._places[name]
            entry = self._seen[name] = place.bars(self._spec, self._durability) or place
        return entry

    def _disobeying(self, name: str) -> PassedOver:
        runs_on = self._places[name].runs_on
        return PassedOver(name, "cannot_carry", f"the call is pinned with only={self._only!r}, and this is {runs_on}")

    def _unless_too_big(self, entry: Entry, size: Estimate) -> Entry:
        if isinstance(entry, PassedOver) or entry.max_payload is None or size is None or size <= entry.max_payload:
            return entry
        return PassedOver(entry.name, "too_big", f"its {_LIMIT[entry.transport]} is {show_size(entry.max_payload)}")

    def _look_at_pin(self) -> None:
        known = ", ".join(f"{name} ({place.transport})" for name, place in self._places.items())
        if self._named is not None and self._named not in self._places:
            raise NotConfigured(
                f"{self._spec.name} is pinned with route_to={self._named!r}, and the policy in force has no such "
                f"destination. It has: {known}. Name one of them, or declare it under `destinations:`."
            )
        if self._only is not None and all(place.runs_on != self._only for place in self._places.values()):
            raise NotConfigured(
                f"{self._spec.name} is pinned with only={self._only!r}, and the policy in force has no such "
                f"destination. It has: {known}. Remove the pin, or set DISPATCH_POLICY to a policy with a "
                f"destination of `transport: {self._only}`."
            )
