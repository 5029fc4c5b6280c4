"""How long a call takes to start on one of Celery's queues, as far as this process has heard."""

from __future__ import annotations

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch.transports._running_mean import KEPT, RunningMean
from dispatch.transports.celery._report import Report

PUBLISH_NS = 500_000
PICKUP_NS = 1_500_000
"""Priors, measured on an idle loopback: a publish, and a worker taking the message up."""

_IN_STEP = 1_000_000
"""Clocks that contradict each other by less are said to agree."""


class Outlook:
    """Two running means: of publishing, heard with every publish, and of what comes after it, heard with results.

    Nothing is heard of calls whose results nobody reads. Safe from any thread.
    """

    def __init__(self) -> None:
        self._publish = RunningMean(PUBLISH_NS)
        self._pickup = RunningMean(PICKUP_NS)
        self.heard = 0
        """Results that said how long their calls had waited."""
        self.skewed = 0
        """Those of which it could not be true."""

    def start_ns(self) -> int:
        return round(self._publish.value + self._pickup.value)

    def figures(self) -> dict[str, int]:
        return {
            "publish_ns": round(self._publish.value),
            "pickup_ns": round(self._pickup.value),
            "heard": self.heard,
            "skewed": self.skewed,
        }

    def published(self, took_ns: int) -> None:
        self._publish.add(took_ns)

    def started(self, call: Call, report: Report) -> None:
        """A worker says when it began to run `call`, which has its `started` from here on.

        The wait is the difference of two machines' clocks. It cannot be less than nothing, nor more than this
        process's own clock allows: what has passed since the message was written, less the time that the task ran.
        """
        written = max(call.serialized, call.entered + (call.delay_ns or 0))
        most = max(0, ticks() - written - report.run_ns)
        wait = min(max(0, report.wait_ns), most)
        call.started = written + wait
        self.heard += 1
        if abs(wait - report.wait_ns) > _IN_STEP:
            self.skewed += 1
        if most - wait <= KEPT:  # a result that is read late says nothing about now
            self._pickup.add(max(0, wait - max(0, call.sent - written)))
        telemetry.started(call)
