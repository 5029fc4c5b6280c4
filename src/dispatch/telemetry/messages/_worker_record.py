"""What a Celery worker leaves to its recorder of a call that has run there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dispatch._clock import ticks
from dispatch._decision import Decision, Reason
from dispatch._ids import here
from dispatch._outcome import Failure, Outcome
from dispatch._recorder import Finished, recorder
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._execution import Execution
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry.messages._waybill import moment_within, sent_at, unpack


def ran(
    spec: TaskSpec,
    headers: Mapping[str, Any],
    outcome: Outcome,
    *,
    call_id: str,
    durability: Durability,
    attempt: int,
    taken: object,
    started: int,
    execution: Execution | None,
) -> None:
    """It has ended, and is not attempted again. `taken` and `started` are `ticks`. Never raises."""
    with harmless:
        listener.current()  # who takes metrics is looked for here too
        if recorder.note is None:
            return
        anchor, ended = Anchor(), ticks()
        taken = moment_within(taken, started)
        written = sent_at(headers)
        recorder.note(
            Finished(
                spec=spec,
                decision=_decision(headers, durability),
                space=here.space,
                number=0,
                told_id=call_id,
                payload=None,
                # Of the caller's side another process knows.
                entered=0,
                decided=0,
                serialized=0,
                sent=0 if written is None else anchor.moment(written),
                taken=taken,
                started=started,
                ended=ended,
                due=0,
                attempt=attempt,
                error=type(outcome.error) if isinstance(outcome, Failure) else None,
                trace=None if execution is None else execution.sampled,
            )
        )


def _decision(headers: Mapping[str, Any], durability: Durability) -> Decision | None:
    """What our header says of it; `None` for a message of somebody else's."""
    told = unpack(headers)
    if n.DESTINATION not in told:
        return None
    return Decision(
        destination=str(told[n.DESTINATION]),
        transport="celery",
        rule=str(told.get(n.RULE, "")),
        reason=cast("Reason", told.get(n.REASON, "rule")),
        policy_version=str(told.get(n.POLICY_VERSION, "")),
        durability=durability,
    )
