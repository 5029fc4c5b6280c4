"""A destination whose plain functions run in worker processes: what it takes is pickled before it is handed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._registry import TaskSpec
from dispatch.errors import PassedOver
from dispatch.pool import Drained
from dispatch.transports._arguments import Uncarried
from dispatch.transports._destination import HandOver
from dispatch.transports.local._errand import pack, unpack
from dispatch.transports.local._processes import Processes
from dispatch.transports.local.destination import LocalDestination


class ProcessDestination(LocalDestination):
    """`runner: process`. Coroutine functions go to a loop in this process, as they do everywhere."""

    _runner = Processes

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        if spec.coroutine:
            return None
        try:
            pack(args, kwargs, spec.function)
        except Uncarried as error:
            return error.passed(self.name)
        return None

    def try_now(self, call: Call) -> bool:
        return call.spec.coroutine and super().try_now(call)

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        if call.spec.coroutine:
            return (yield from super().hand_over(call, may_wait=may_wait))
        args, kwargs = call.args, call.kwargs
        try:
            packed = pack(args, kwargs, call.spec.function)
        except Uncarried as error:
            return error.passed(self.name)
        call.serialized = ticks()
        # A worker may have the call before the next line runs: it is changed before it is handed over.
        call.args, call.kwargs = (packed,), {}
        passed = yield from super().hand_over(call, may_wait=may_wait)
        if passed is not None:
            call.args, call.kwargs = args, kwargs  # for the next candidate
        return passed

    def enforce(self) -> None:
        super().enforce()
        if isinstance(self._functions, Processes):
            self._functions.limit(self._settings)

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        def unpacked(call: Call) -> bool:
            unpack(call)
            return hand_on(call)

        return super().close(grace, unpacked)
