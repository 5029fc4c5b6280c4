"""Calls of plain functions, run by worker processes: for work that would keep this process's interpreter busy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._growth import growth
from dispatch._outcome import Failure, Outcome
from dispatch._registry import TaskSpec
from dispatch.errors import CallCancelled, CallFailed, WorkerDied
from dispatch.policy import LocalSettings
from dispatch.pool import Allowance, Pool
from dispatch.pool.processes import Child, Crew, Died, Dismissed, ProcessPool
from dispatch.telemetry import messages
from dispatch.transports.local._attempt import conclude, is_wanted, late, taken, timed_out
from dispatch.transports.local._errand import Errand, Report, outcome_of, unpack
from dispatch.transports.local._station import barred, unknown_there
from dispatch.transports.local._threads import Threads
from dispatch.transports.local._timeouts import InProcess, OnThread, watch

_encode = msgspec.msgpack.encode
_report = msgspec.msgpack.Decoder(Report).decode

_PROGRAM = Path(__file__).with_name("_worker_program.py")


class Processes(Threads):
    """Threads that each wait for a worker process. Expects calls whose arguments are `Packed`."""

    def __init__(
        self,
        name: str,
        settings: LocalSettings,
        allowance: Allowance[Call] | None = None,
        send_again: Callable[[Call, int], object] | None = None,
    ) -> None:
        self._crew = Crew(_PROGRAM, _limits(settings))
        super().__init__(name, settings, allowance, send_again)

    def _make_pool(
        self, name: str, settings: LocalSettings, run: Callable[[Call], int], lost: Callable[[Call], None]
    ) -> Pool[Call]:
        workers, capacity = settings.workers or os.cpu_count() or 1, settings.capacity
        words = {"workers": workers, "capacity": capacity}
        return ProcessPool(name, run, lost, self._crew, **words, late=late, wanted=is_wanted, since=taken)

    def limit(self, settings: LocalSettings) -> None:
        """Have processes that start from now on replaced by these limits; those that run keep theirs."""
        self._crew.told = _limits(settings)

    def cannot_run(self, spec: TaskSpec) -> str | None:
        return barred() or unknown_there(spec)

    def run_inline(self, call: Call) -> None:
        """Run a call in the calling thread: here, and in no other process."""
        unpack(call)
        super().run_inline(call)

    def _run_limited(self, call: Call, *, bounded: bool = True) -> int:
        # A timeout stops the process, and then the thread that waits for it: none has to be abandoned.
        return super()._run_limited(call, bounded=False)

    def _execute(self, call: Call, limit: OnThread | None = None) -> int:
        if call.decision.transport == "inline":
            return super()._execute(call, limit)
        child = self._child_for(call)
        pid = None if isinstance(child, Failure) else child.pid
        trace = telemetry.executing(call, process=pid) if telemetry.recording(call.taken) else None
        call.started = call.ended = ticks()
        outcome, leaver = (child, None) if isinstance(child, Failure) else self._asked(child, call)
        if trace is not None:
            trace.end(outcome)  # see `Threads._execute`
        took = call.ended - call.taken
        if type(outcome) is Failure or not call.settle(outcome):
            conclude(call, outcome, self._send_again)
        if leaver is not None:
            self._crew.retire(leaver)
        del call, child, outcome  # see `Threads.run`
        return took

    def _child_for(self, call: Call) -> Child | Failure:
        """A worker process; without one, how the call ends."""
        try:
            return self._crew.take()
        except Dismissed:
            why = "was not started before the shutdown's grace was over"
            return Failure(CallCancelled(f"call {call.id} of {call.spec.name} {why}"))
        except (Died, OSError, RuntimeError) as error:
            why = f"a new worker process {error}" if isinstance(error, Died) else f"no worker process starts: {error}"
            return Failure(CallFailed(f"call {call.id} of {call.spec.name} did not run: {why}"))

    def _asked(self, child: Child, call: Call) -> tuple[Outcome, Child | None]:
        """What the task did in `child`, and `child` if it is to leave now."""
        spec = call.spec
        errand = Errand(spec.function.__module__, spec.name, call.id, messages.carrier())
        limit = InProcess(child)
        began = ticks()
        if spec.timeout_ns is not None:
            watch(call, limit)
        failed: Failure | None = None
        try:
            head, body = child.ask(_encode(errand), call.args[0].pickled)
            report = _report(head)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the call has to end, and the process with it
            failed = _died(child, call, error)
        if not limit.end():
            failed = timed_out(call)
        if failed is not None:
            call.started, call.ended = began, ticks()
            child.stop()
            self._crew.bury(child)
            return failed, None
        call.started, call.ended = _moments(report, began, ticks())
        growth.measure(spec.name, report.grown)
        outcome = outcome_of(report, body, task=spec.name)
        if report.leaving:
            return outcome, child
        # Before the outcome is told: whoever hears of it may send the next call.
        self._crew.give_back(child)
        return outcome, None


def _limits(settings: LocalSettings) -> dict[str, int | None]:
    return {"max_tasks": settings.max_tasks_per_child, "max_memory": settings.max_memory_per_child}


def _died(child: Child, call: Call, error: BaseException) -> Failure:
    how = str(error) if isinstance(error, Died) else f"could not be understood ({error!r}) and was killed"
    story = f"worker process {child.pid} {how}, in call {call.id} of {call.spec.name}"
    return Failure(WorkerDied(f"{story}, which may have run in part"))


def _moments(report: Report, asked: int, answered: int) -> tuple[int, int]:
    """When the body started and ended, in our `ticks`.

    Where `perf_counter` is the system's monotonic clock, as on Linux and macOS, all its processes read the same one.
    """
    if asked <= report.started <= report.ended <= answered:
        return report.started, report.ended
    return asked, answered
