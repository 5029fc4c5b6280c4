"""A call that waited longer than it may is not run."""

from __future__ import annotations

from dispatch._call import Call
from dispatch._outcome import Failure
from dispatch.errors import CallExpired


def expired(call: Call) -> bool:
    """Settle a call that was taken past its `expires`; looked at just before the start."""
    limit = call.expires_ns
    if limit is None or call.taken - call.entered <= limit:
        return False
    late = f"call {call.id} of {call.spec.name} had waited {(call.taken - call.entered) / 1e9:.3g} s"
    call.settle(Failure(CallExpired(f"{late}, longer than its expires of {limit / 1e9:.3g} s")))
    return True
