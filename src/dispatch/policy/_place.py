"""What the policy engine asks of a destination; the transports answer."""

from __future__ import annotations

from typing import Any, Protocol

from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import PassedOver


class Place(Protocol):
    """A destination, as far as deciding needs to know it.

    Every question may be asked from any thread at any time, answers at once, and changes nothing.
    """

    @property
    def name(self) -> str: ...

    @property
    def transport(self) -> Transport: ...

    @property
    def runs_on(self) -> Transport:
        """Where its calls run in the end, which is what a pin asks: a spool hands them on."""

    @property
    def always_fit(self) -> bool:
        """Nobody needs to ask `unfit` before offering an ephemeral call: it answers `None`, or `try_now` asks it."""

    @property
    def max_payload(self) -> int | None:
        """The largest estimate it carries, in bytes; `None`: any."""

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        """Why no call of this task with this durability can ever go here; asked once, when a task is bound."""

    def unfit(self, durability: Durability) -> PassedOver | None:
        """Why it cannot take a call just now: not configured, not verified, breaker open. Room is no part of it."""

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        """How long a call of this task, handed over now, would take to reach its first line, as well as is known."""

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        """What that prediction rests on at this moment; a name that ends in `_ns` is a duration."""

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        """Why exactly these arguments cannot be carried, found by encoding them; only `explain` asks it here."""
