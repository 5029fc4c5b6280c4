"""Where scenes are open: in every dispatcher of this process, those made meanwhile included."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from dispatch._dispatcher import Dispatcher, running
from dispatch.policy import Policy, load
from dispatch.testing._scene import Scene
from dispatch.testing._understudy import understudy
from dispatch.transports import Destination

S = TypeVar("S", bound=Scene)


class _Own(NamedTuple):
    """What a dispatcher works with outside of the theatre."""

    policy: Policy
    destinations: Mapping[str, Destination]


class _Theatre:
    """The open scenes, oldest first, and the dispatchers that play in them. One lock for opening and closing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._scenes: tuple[Scene, ...] = ()
        self._own: dict[Dispatcher, _Own] = {}

    def open(self, scene: Scene) -> None:
        with self._lock:
            self._scenes = (*self._scenes, scene)
            running.on_arrival = self._arrived
            for dispatcher in running:
                self._own.setdefault(dispatcher, _Own(dispatcher.policy, dispatcher.destinations))
            self._restage()

    def close(self, scene: Scene) -> None:
        with self._lock:
            self._scenes = tuple(each for each in self._scenes if each is not scene)
            self._restage()
            if not self._scenes:
                running.on_arrival = None
                self._own.clear()
        scene.left()

    def _arrived(self, dispatcher: Dispatcher) -> None:
        with self._lock:
            if self._scenes:
                self._own.setdefault(dispatcher, _Own(dispatcher.policy, dispatcher.destinations))
                self._stage(dispatcher)

    def _restage(self) -> None:
        for dispatcher in self._own:
            self._stage(dispatcher)

    def _stage(self, dispatcher: Dispatcher) -> None:
        own, scenes = self._own[dispatcher], self._scenes
        if not scenes:
            dispatcher.stage(own.policy, own.destinations)
            return
        # Without a broker and without a word about policy, what is in force is a makeshift; what a scene takes is
        # decided as it would be with a broker.
        policy = load(["default"]) if dispatcher.makes_do and any(each.takes for each in scenes) else own.policy
        played = {
            name: understudy(own.destinations.get(name), name, settings, scenes)
            for name, settings in policy.destinations.items()
        }
        dispatcher.stage(policy, played)


_theatre = _Theatre()


@contextmanager
def playing(scene: S) -> Generator[S]:
    """`scene` is open inside the `with`."""
    _theatre.open(scene)
    try:
        yield scene
    finally:
        _theatre.close(scene)
