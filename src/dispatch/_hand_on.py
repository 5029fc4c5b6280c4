"""A call that waits where it cannot stay is offered to the other candidates of its rule."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._log import logger
from dispatch._steps import block
from dispatch.errors import NotAccepted, PassedOver
from dispatch.policy import Plan
from dispatch.transports import Destination


def hand_on(call: Call, plan: Plan, destinations: Mapping[str, Destination], *, away_from: str) -> bool:
    """Offer `call` to the other candidates of its rule, best first. True: one of them has it, or may have it.

    Whoever takes it finds it as if it had just been sent, by its caller and in the caller's trace, except for its
    times. Nobody can cancel it meanwhile. Blocks where the candidates do; never raises.
    """
    if not call.claim():
        return False  # cancelled
    passed = [PassedOver(away_from, "refused", "it is shut down")]
    told = telemetry.HandOver(call)
    # A copy: elsewhere in this process the call may begin to run, in its own context, before we are back.
    context = Context() if call.context is None else call.context.copy()
    size = call.payload
    route = plan.only or plan.route(size)
    for candidate in plan.candidates(route, size):
        if isinstance(candidate, PassedOver):
            passed.append(candidate)
        elif candidate.name != away_from:
            call.decision = route.decision_for(candidate, tuple(passed))
            why = context.run(_offered, call, destinations[candidate.name])
            if why is None or why.why == "unknown":
                told.end()
                return True
            passed.append(why)
    told.end(passed)
    return False


def _offered(call: Call, destination: Destination) -> PassedOver | None:
    """Why the destination does not have it; `None`: it has."""
    # A worker of this process claims what it takes. Elsewhere nobody does, and a broker's answer must not meet a
    # call that was cancelled while it was on its way.
    if destination.transport == "local":
        call.release()
    try:
        answer = block(destination.hand_over(call, may_wait=True))
    except NotAccepted as rejected:
        answer = rejected.passed_over[0]
    except Exception as error:  # noqa: BLE001 - the calls behind this one are to be handed on too
        logger("shutdown").exception("a call could not be handed on", dispatch_call_id=call.id)
        answer = PassedOver(destination.name, "refused", repr(error))
    if answer is None or answer.why == "unknown":
        call.sent = call.sent or ticks()
        if destination.transport != "local":
            call.release(to="waiting" if answer is None else "unknown")
    elif destination.transport == "local" and not call.claim():
        return None  # cancelled, or it ran all the same: it needs nobody else
    return answer
