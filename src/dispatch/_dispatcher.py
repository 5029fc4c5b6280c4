"""The dispatcher: decide, then hand over.

A call of which nothing has to be asked goes straight to its destination. Every other one takes the same steps in
the same order, written once, as a generator that says what it has to wait for: `delay` waits by blocking its
thread, `adelay` by leaving the event loop free.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - it must meet the interpreter's exit; too late, it cannot be imported
from collections.abc import Mapping
from contextvars import copy_context
from time import monotonic
from typing import Any, NoReturn, Self, TypeAlias
from weakref import WeakSet

from dispatch import _compose, telemetry
from dispatch._call import Call, CallOptions
from dispatch._clock import ticks
from dispatch._exit import at_exit
from dispatch._fork import notice_fork, renew_in_child
from dispatch._hand_on import hand_on
from dispatch._handle import Handle
from dispatch._ids import here
from dispatch._log import logger
from dispatch._regime import Regime
from dispatch._registry import TaskSpec
from dispatch._reign import Reign
from dispatch._requirements import Duration
from dispatch._roll import Roll
from dispatch._shutdown import Shutdown
from dispatch._statistics import Statistics, glances_of, statistics_of
from dispatch._steps import Steps
from dispatch._units import as_duration_ns
from dispatch._waiting import in_event_loop
from dispatch.errors import NotAccepted, NotConfigured, OutcomeUnknown, PassedOver, refusal
from dispatch.policy import Estimate, Explanation, Plan, Route
from dispatch.pool import Drained
from dispatch.settings import Settings
from dispatch.transports import Destination, DestinationStatistics, HandOver

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]


class Dispatcher(Reign):
    """A policy in force, and the destinations it names. Safe from any thread.

    Most programs never make one: `dispatch.configure` sets up the default dispatcher. Make your own to keep two
    policies apart. `policy` is the name of a ready one, a path, or several of them, the later overlaying the
    earlier; `celery` is a Celery app or `"module:attribute"`. What is not given comes from `settings`, which by
    default reads the environment. Raises `PolicyError` or `NotConfigured`.

        with dispatch.Dispatcher(policy="latency-first") as night:
            thumbnail.using(night).delay(image, 64)
    """

    def __init__(
        self,
        *,
        policy: _compose.PolicySource | None = None,
        celery: Any = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(policy=policy, celery=celery, settings=settings)
        self._warned: set[str] = set()
        self._shutdown = Shutdown()
        running.add(self)
        _alive.add(self)

    def start(
        self,
        spec: TaskSpec,
        args: Args,
        kwargs: Kwargs,
        entered: int,
        options: CallOptions | None = None,
        *,
        awaiting: bool = False,
    ) -> Handle[Any] | Steps:
        """Decide, and hand over if that needs no waiting; else the steps of the hand-over, for the caller to walk.

        `entered`: the `ticks` at which the call was asked for. `awaiting`: by a coroutine. Steps that are closed before
        their end withdraw the call.
        """
        regime = self._regime
        plan = regime.plans.get(spec) or self._plan(regime, spec)
        size, route = None, plan.only
        if route is None:
            size = plan.measure(args, kwargs)
            route = plan.route(size)
        first, decision = route.first, route.decision
        if route.second is not None:
            substitute = route.for_second()
            if substitute is not None:
                first, decision = route.second, substitute
        space = here.space
        call = Call(
            spec,
            args,
            kwargs,
            copy_context(),
            decision,
            space,
            space.number(),
            entered,
            ticks(),
            size,
            options,
        )
        now = options is None or not options.delay_ns
        if first is not None and now and regime.destinations[first.name].try_now(call):
            call.sent = ticks()
            return Handle(call)
        return self._steps(call, regime, plan, route, size, awaiting=awaiting)

    def explain(self, spec: TaskSpec, args: Args, kwargs: Kwargs) -> Explanation:
        """The decision that a call would get now, asked of the very objects that decide. Nothing is sent."""
        return self._plan(self._regime, spec).explain(args, kwargs)

    def begin(self) -> None:
        """Hand on what earlier processes have spooled, in the background; a spool's first call has it begin too.

        With `DISPATCH_WATCH`, the policy's files are watched from now on.
        """
        self._begin()

    def statistics(self) -> Statistics:
        """What the destinations and the process hold at this moment; costs the calls nothing."""
        return statistics_of(self._regime.living)

    def glances(self) -> Mapping[str, DestinationStatistics]:
        """What the destinations hold, for metrics: where that cannot be told at once, as it was a while ago."""
        return glances_of(self._regime.living)

    def shutdown(self, grace: Duration | None = None) -> Drained:
        """Take nothing new; started calls finish, waiting ones follow their destination's `on_shutdown`.

        Waits at most `grace`, by default `DISPATCH_SHUTDOWN_GRACE`, and logs what became of them all. Happens by
        itself when the interpreter exits. Twice is once; a second one waits for the first, except in a task or in a
        coroutine, for which the first may be waiting.
        """
        notice_fork()
        wanted = self.settings.shutdown_grace if grace is None else grace
        deadline = monotonic() + as_duration_ns(wanted, or_none=True) / 1e9
        drained = self._shutdown(self._end(), self.celery, deadline, self._hand_on)
        if drained is None:
            return Drained()
        running.discard(self)  # not before: an exit meanwhile waits for it too
        return drained

    def renew(self) -> None:
        """In a forked child: open, as its pools are, even where the parent's was shut down."""
        self._shutdown.renew()
        self._renew()
        if self not in running:
            running.add(self)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Dispatcher policy {self.policy.version} | {', '.join(self.destinations)}>"

    # ---- within

    def _hand_on(self, call: Call, away_from: str) -> bool:
        regime = self._regime
        try:
            return hand_on(call, regime.plan(call.spec), regime.destinations, away_from=away_from)
        except NotConfigured:
            return False  # it is pinned to what the policy in force does not have any more

    def _steps(self, call: Call, regime: Regime, plan: Plan, route: Route, size: Estimate, *, awaiting: bool) -> Steps:
        notice_fork()
        if call.space is not here.space:  # a fork without hooks came to light on the way here
            call.space, call.number = here.space, here.space.number()
        may_wait = awaiting or not in_event_loop()
        passed: list[PassedOver] = []
        for candidate in plan.candidates(route, size):
            if isinstance(candidate, PassedOver):
                passed.append(candidate)
            elif call.stage != "unknown" or candidate.transport == "spool":
                # What a broker may have already goes nowhere else, except to disk, to be published again under its id.
                call.decision = route.decision_for(candidate, tuple(passed))
                answer = yield from self._offer(call, regime.destinations[candidate.name], passed, may_wait=may_wait)
                if answer is None:
                    return Handle(call)
                passed.append(answer)
        for place in route.places if call.stage != "unknown" else ():
            # A worker that waited for room in its own pool might wait for itself.
            running = regime.destinations[place.name].run_here(call, awaiting=awaiting)
            if running is not None:
                yield running
                telemetry.dispatched(call)
                return Handle(call)
        self._refuse(call, passed)

    def _offer(self, call: Call, destination: Destination, passed: list[PassedOver], *, may_wait: bool) -> HandOver:
        if not may_wait and destination.transport == "celery":
            self._warn_of_blocking(call)
        try:
            answer = yield from destination.hand_over(call, may_wait=may_wait)
        except NotAccepted as rejected:
            # `on_full: reject`: the call must go nowhere else.
            self._refuse(call, [*passed, *rejected.passed_over])
        except BaseException as gone:
            telemetry.dispatched(call, gone)  # whoever sent it was cancelled or interrupted, or has taken it back
            raise
        if answer is None:
            call.sent = call.sent or ticks()
            telemetry.dispatched(call)
        elif answer.why == "unknown" and not call.spec.idempotent:
            if call.decision.durability == "ephemeral":
                self._leave_unknown(call, answer)
            call.stage = "unknown"
        return answer

    def _leave_unknown(self, call: Call, answer: PassedOver) -> NoReturn:
        call.stage = "unknown"
        error = OutcomeUnknown(
            f"{answer.destination} did not say whether it has call {call.id} of {call.spec.name}: {answer.detail}. "
            "The handle stays good. Send it again only if running twice does no harm; idempotent=True does so.",
            Handle(call),
        )
        telemetry.dispatched(call, error)
        raise error

    def _refuse(self, call: Call, passed: list[PassedOver]) -> NoReturn:
        unknown = next((each for each in passed if each.why == "unknown"), None)
        if unknown is not None:
            self._leave_unknown(call, unknown)  # it may run all the same, whatever the later candidates said
        spools = [name for name, each in self._regime.living.items() if each.transport == "spool"]
        error = refusal(call.spec.name, passed, spools)
        telemetry.dispatched(call, error)
        raise error

    def _warn_of_blocking(self, call: Call) -> None:
        if call.spec.name not in self._warned:
            self._warned.add(call.spec.name)
            logger("dispatcher").warning(
                "delay() publishes to a broker inside a running event loop and blocks it; write `await …adelay()`",
                dispatch_task=call.spec.name,
            )


running: Roll[Dispatcher] = Roll()
"""Held until their shutdown: a dispatcher that nobody refers to may still have calls."""

telemetry.gauge(lambda: [dispatcher.glances() for dispatcher in running])


_alive: WeakSet[Dispatcher] = WeakSet()


def _renew_all() -> None:
    for dispatcher in tuple(_alive):
        dispatcher.renew()


renew_in_child(_renew_all)


def end_all() -> None:
    """Shut every dispatcher down, as the interpreter's exit does."""
    for dispatcher in running:
        try:
            dispatcher.shutdown()
        except Exception:  # noqa: BLE001 - the others have calls too
            logger("shutdown").exception("a dispatcher did not end in order")


at_exit(end_all)
