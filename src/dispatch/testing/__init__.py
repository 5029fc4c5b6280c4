"""For tests of programs that dispatch: see what is sent, run it at once, and treat it as Celery would.

    with dispatch.testing.capture() as sent:
        sign_up("ada@example.org")

    assert sent.calls == [("shop.welcome", {"to": "ada@example.org"})]

Imported by tests only; `import dispatch` does not load it. `dispatch.testing.conformance` is the suite that every
transport passes.
"""

from dispatch.testing._capture import Capture as Capture
from dispatch.testing._capture import Captured as Captured
from dispatch.testing._capture import capture as capture
from dispatch.testing._held_clock import HeldClock as HeldClock
from dispatch.testing._held_clock import clock as clock
from dispatch.testing._inline import inline as inline
from dispatch.testing._parity import parity as parity

__all__ = ["Capture", "Captured", "HeldClock", "capture", "clock", "inline", "parity"]
