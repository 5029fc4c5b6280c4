"""A spool's way to a pool of this process: calls that survive it, without any broker."""

from __future__ import annotations

import importlib
import traceback
import weakref
from contextvars import Context
from copy import copy
from functools import partial
from typing import Any

from dispatch import _unread
from dispatch._call import Call, CallOptions, Source
from dispatch._clock import ticks, wall
from dispatch._decision import Decision, Transport
from dispatch._ids import here
from dispatch._log import logger
from dispatch._outcome import Failure, Outcome
from dispatch._registry import TaskSpec, registry
from dispatch._requirements import Durability
from dispatch.errors import CallCancelled, CallExpired, NotAccepted, PassedOver, WorkerDied
from dispatch.spool import Ended, Row, Runner, Spool, Verdict
from dispatch.telemetry import messages
from dispatch.transports._arguments import Uncarried
from dispatch.transports._destination import Destination
from dispatch.transports._outlet import Parcel
from dispatch.transports.spool._lookout import Lookout
from dispatch.transports.spool._plain_json import decoded, encoded

_AT_ONCE = 32
"""Calls given to the pool at a time: enough to keep it busy, and few enough to leave it room for others."""

_LEASE = 10.0
"""Seconds after which what a killed process had begun is begun anew, here or elsewhere."""

_MOST_UNENDED = 5
"""A call that was begun so often and never ended is what ends its processes: it is set aside."""

_MOST_UNKNOWN = 10
"""So often a task is looked for, some four minutes in all: a program that starts may not have declared it yet."""


class RunHere:
    """Packs calls as JSON, and runs them in one local destination: at least once, however often the process dies."""

    runs_on: Transport = "local"

    def __init__(self, destination: Destination) -> None:
        self.name = destination.name
        self._destination = destination
        self._own: weakref.WeakValueDictionary[str, Call] = weakref.WeakValueDictionary()
        """Calls that somebody in this process has a handle of, by id."""

    def revised(self, destination: Destination) -> RunHere:
        other = copy(self)
        other._destination = destination  # noqa: SLF001 - another of this class
        return other

    def enforce(self) -> None:
        """What is run is handed to the same workers, by whichever of their destinations."""

    # ---- before a call is kept

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        if not spec.importable:
            why = f"after a restart nobody finds {spec.name}: define it at the top of a module"
            return PassedOver(self.name, "cannot_carry", why)
        return self._destination.bars(spec, "ephemeral")  # the disk keeps it, and memory only runs it

    def unfit(self) -> PassedOver | None:
        return self._destination.unfit("ephemeral")

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        try:
            encoded(spec, args, kwargs)
        except Uncarried as error:
            return error.passed(self.name)
        return None

    def pack(self, call: Call, trace: dict[str, str]) -> Parcel:
        decision, module, expires = call.decision, call.spec.function.__module__, call.expires_ns
        self._own[call.id] = call  # before it is on disk: it may be run as soon as it is
        return Parcel(
            arguments=encoded(call.spec, call.args, call.kwargs),
            headers={
                "module": "" if module == "__main__" else module,
                "rule": decision.rule,
                "reason": decision.reason,
                "policy": decision.policy_version,
                "trace": trace,
                "expires_ns": expires,
            },
            delay_ns=call.delay_ns or 0,
        )

    def kept(self, call: Call, spool: Spool) -> Source:
        return Lookout(spool)

    # ---- afterwards

    def watchman(self, spool: Spool) -> Runner:
        return Runner(spool, self.name, self._run, count=_AT_ONCE, lease=_LEASE)

    def _run(self, row: Row, ended: Ended) -> None:
        if row.unended >= _MOST_UNENDED:
            ended(_dead(row, f"it was begun {row.unended} times and never ended: it may be what ends its process"))
            return
        try:
            spec = _spec_of(row)
            call = None if spec is None else self._call(spec, row)
        except Exception as error:  # noqa: BLE001 - a module of the user's was imported
            ended(_dead(row, f"it cannot be run here: {type(error).__name__}: {error}"))
            return
        if call is None:
            ended(_not_known(row))
            return
        messages.resume(call, row.headers["trace"])
        call.tell(partial(self._end, call, row, ended))  # before it is sent: it may end at once
        passed = self._taken(call)
        if passed is not None:
            ended(Verdict(row.id, "never" if passed.why == "cannot_carry" else "refused", str(passed)))

    def _taken(self, call: Call) -> PassedOver | None:
        """`None`: it will be settled. Nothing is waited for, nor run, in the thread that keeps the lease."""
        steps = self._destination.hand_over(call, may_wait=False)
        try:
            next(steps)
        except StopIteration as end:
            passed: PassedOver | None = end.value
            return passed
        except NotAccepted as full:
            return full.passed_over[0]
        steps.close()
        return PassedOver(self.name, "full", "its caller would have to run it")

    def _call(self, spec: TaskSpec, row: Row) -> Call:
        """Raises `LookupError` or `ValueError` for a row that was spooled for somebody else."""
        args, kwargs = decoded(row.arguments)
        headers = row.headers
        own = self._own.get(row.id)
        # What the call alone was told does not lie on disk: the next process goes by the task's word.
        retry = own.options.retry if own is not None and own.options is not None else None
        decision = Decision(
            destination=self.name,
            transport="local",
            rule=headers["rule"],
            reason=headers["reason"],
            policy_version=headers["policy"],
            durability="durable",
        )
        return Call(
            spec,
            args,
            kwargs,
            Context(),
            decision,
            here.space,
            here.space.number(),
            entered=ticks() - (wall() - row.entered),
            options=CallOptions(task_id=row.id, expires_ns=headers["expires_ns"], retry=retry),
            attempt=row.attempt,
        )

    def _end(self, call: Call, row: Row, ended: Ended) -> None:
        """Called by whoever settles the call, in their thread."""
        outcome = call.outcome
        assert outcome is not None, "nobody is told before"  # noqa: S101 - our own misuse, nobody else's
        _unread.read(call)  # a failure is kept with its row, where somebody will read it
        verdict = _verdict(call, row, outcome)
        own = self._own.get(row.id)
        if own is not None and verdict.what in ("accepted", "never"):
            own.settle(outcome)
        ended(verdict)


def _verdict(call: Call, row: Row, outcome: Outcome) -> Verdict:
    if not isinstance(outcome, Failure) or isinstance(outcome.error, CallExpired):
        return Verdict(row.id, "accepted")
    error = outcome.error
    if isinstance(error, CallCancelled) or not call.started:
        return Verdict(row.id, "refused", str(error))  # dropped at shutdown, or its worker fell before it began
    if isinstance(error, WorkerDied) or not call.ended:
        return Verdict(row.id, "unknown", str(error), ended=False)
    told = "".join(traceback.format_exception(type(error), error, outcome.traceback))
    return _dead(row, f"{type(error).__name__}: {error}", told, error)


def _not_known(row: Row) -> Verdict:
    detail = f"this process knows no task {row.task}: import the module that declares it"
    return _dead(row, detail) if row.tries >= _MOST_UNKNOWN else Verdict(row.id, "refused", detail)


def _dead(row: Row, detail: str, told: str = "", error: BaseException | None = None) -> Verdict:
    log = logger("spool")
    log.error(
        "a spooled call failed and is kept as dead",
        dispatch_task=row.task,
        dispatch_call_id=row.id,
        trace_id=row.trace,
        why=detail,
    )
    reason = "max_deliveries" if row.unended >= _MOST_UNENDED else "failed"
    trace = row.headers.get("trace") or {}
    messages.dead_lettered(row.task, trace, call_id=row.id, reason=reason, error=error, attempt=row.attempt)
    return Verdict(row.id, "never", detail, told)


def _spec_of(row: Row) -> TaskSpec | None:
    """The task, its module imported where that is what is missing. Raises what that raises."""
    spec = registry.get(row.task)
    if spec is None and row.headers["module"]:
        importlib.import_module(row.headers["module"])
        spec = registry.get(row.task)
    return spec
