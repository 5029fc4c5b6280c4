"""A destination that a policy names and nobody has set up: it takes nothing and says which setting is missing."""

from __future__ import annotations

from collections.abc import Callable

from dispatch._call import Call
from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import PassedOver
from dispatch.pool import Drained
from dispatch.transports._destination import HandOver
from dispatch.transports._statistics import DestinationStatistics

A_BROKER = "a broker: set DISPATCH_BROKER_URL, or dispatch.configure(celery=app)"


class Unconfigured:
    """Stands where a Celery destination would when there is no broker, or a spool that has no name or no way out."""

    always_fit = False
    max_payload = None

    def __init__(
        self, name: str, missing: str = A_BROKER, *, transport: Transport = "celery", runs_on: Transport = "celery"
    ) -> None:
        """`missing`: what it needs, and the cure."""
        self.name = name
        self.transport: Transport = transport
        self.runs_on: Transport = runs_on
        self._missing = PassedOver(name, "not_configured", f"{name} needs {missing}")

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        return self._missing

    def unfit(self, durability: Durability) -> PassedOver | None:
        return self._missing

    def refuses(self, spec: TaskSpec, args: tuple[object, ...], kwargs: dict[str, object]) -> PassedOver | None:
        return self._missing

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        return 0

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        return {}

    def try_now(self, call: Call) -> bool:
        return False

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        yield from ()
        return self._missing

    def run_here(self, call: Call, *, awaiting: bool) -> None:
        return None

    def enforce(self) -> None:
        """There is nothing to share."""

    def statistics(self) -> DestinationStatistics:
        return DestinationStatistics(transport=self.transport)

    def glance(self) -> DestinationStatistics:
        return self.statistics()

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        return Drained()

    def __repr__(self) -> str:
        return f"<Unconfigured {self.name}>"
