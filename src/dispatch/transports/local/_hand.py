"""What a local call's log lines can be told about it: the pools know which call runs where."""

from __future__ import annotations

from dispatch import telemetry
from dispatch._call import Call
from dispatch.pool import in_hand


def _running() -> telemetry.Running | None:
    call = in_hand()
    return telemetry.Running(call.id, call.spec.name) if isinstance(call, Call) else None


telemetry.known_by(_running)
