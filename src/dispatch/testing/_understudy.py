"""A destination's understudy: decides as the destination would, and does what the open scenes want."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from dispatch._call import Call
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import NotSerializable, PassedOver
from dispatch.pool import Drained
from dispatch.testing import _far_side
from dispatch.testing._scene import Scene
from dispatch.transports import Destination, DestinationStatistics, HandOver, Pending, Unconfigured

_CELERY_START_NS = 2_000_000
"""What an idle broker and worker on the same machine take: the prediction for one that is not there."""


class Understudy:
    """Stands before `inner` while scenes are open. Whoever asks for something else of it gets it from `inner`.

    When a scene takes the calls, nothing is asked of a broker: Celery is taken to be there, and to keep what is
    durable. All else is decided as ever.
    """

    def __init__(self, inner: Destination, scenes: tuple[Scene, ...], max_payload: int | None) -> None:
        self.name = inner.name
        self.transport = inner.transport
        self.runs_on = inner.runs_on
        self.max_payload = max_payload
        self._inner = inner
        self._scenes = scenes
        self._taker = next((scene for scene in reversed(scenes) if scene.takes), None)
        self._strict = any(scene.strict for scene in scenes)
        self._assumed = self._taker is not None and inner.transport == "celery"
        self.always_fit = inner.always_fit or self._assumed

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        if (self._assumed or self._must_travel(spec)) and (why := _far_side.not_found(spec, self.name)):
            return why
        return None if self._assumed else self._inner.bars(spec, durability)

    def unfit(self, durability: Durability) -> PassedOver | None:
        return None if self._assumed else self._inner.unfit(durability)

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        return _CELERY_START_NS if self._assumed else self._inner.predicted_start_ns(spec)

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        return {} if self._assumed else self._inner.figures(spec)

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        if self._assumed or self._must_travel(spec):
            return _far_side.refuses(spec, args, kwargs, self.name)
        return self._inner.refuses(spec, args, kwargs)

    # ---- taking calls

    def try_now(self, call: Call) -> bool:
        if self._taker is not None or self._must_travel(call.spec):
            return False
        with self._seen(call) as seen:
            seen.accepted = self._inner.try_now(call)
            return seen.accepted

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Raises `NotSerializable` in parity mode: no other candidate may hide that Celery could not carry it."""
        with self._seen(call) as seen:
            why = self._travel(call)
            if why is not None and self._strict:
                raise NotSerializable(call.spec.name, [why])
            if why is None and self._taker is not None:
                why = self._taker.refuses(call, self.name)
            if why is not None:
                return why
            if self._taker is None:
                why = yield from self._inner.hand_over(call, may_wait=may_wait)
            else:
                seen.accepted = True
                self._taker.take(call)
            seen.accepted = why is None
            return why

    def run_here(self, call: Call, *, awaiting: bool) -> Pending | None:
        with self._seen(call) as seen:
            running = None
            if self._taker is None and self._travel(call) is None:
                running = self._inner.run_here(call, awaiting=awaiting)
            seen.accepted = running is not None
            return running

    def enforce(self) -> None:
        self._inner.enforce()

    def statistics(self) -> DestinationStatistics:
        return self._inner.statistics()

    def glance(self) -> DestinationStatistics:
        return self._inner.glance()

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        return self._inner.close(grace, hand_on)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<Understudy of {self._inner!r}>"

    # ---- within

    @contextmanager
    def _seen(self, call: Call) -> Generator[_Seen]:
        """Scenes hear of a call before it runs, so that they hear of calls in the order in which they were made."""
        seen = _Seen()
        for scene in self._scenes:
            scene.offered(call)
        try:
            yield seen
        finally:
            if not seen.accepted:
                for scene in self._scenes:
                    scene.declined(call)

    def _travel(self, call: Call) -> PassedOver | None:
        return _far_side.carry(call, self.name) if self._assumed or self._must_travel(call.spec) else None

    def _must_travel(self, spec: TaskSpec) -> bool:
        # What is kept here by its own declaration never meets a broker; Celery itself needs no imitation.
        return self._strict and self.transport != "celery" and spec.requirements.only != "local"


class _Seen:
    accepted = False


def understudy(inner: Destination | None, name: str, settings: Any, scenes: tuple[Scene, ...]) -> Destination:
    """For `inner`, or for the destination that `settings` describe where there is none."""
    inner = inner or Unconfigured(name)
    max_payload = getattr(settings, "max_payload", None) if inner.transport == "celery" else inner.max_payload
    return Understudy(inner, scenes, max_payload)
