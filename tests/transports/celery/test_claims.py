"""What a worker's process holds of the ledger, with a ledger that grants every claim."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dispatch.transports.celery.ledger import Claim
from dispatch.transports.celery.worker._claims import Claims
from dispatch.transports.celery.worker._delivery import DELIVERY

TASK = SimpleNamespace(name="shop.work")


class GenerousLedger:
    """Grants each claim, and notes who settles."""

    def __init__(self):
        self.settled = []

    def claim(self, call_id, attempt, owner, _entry):
        return Claim(call_id, owner, attempt, 30_000, 1)

    def settle(self, claim, outcome):
        self.settled.append((claim.owner, outcome))
        return True


@pytest.fixture
def ledger():
    return GenerousLedger()


@pytest.fixture
def claims(ledger):
    claims = Claims(app=None)
    claims._ledger = ledger
    claims._renewer._running = True  # no thread: nobody's lease ends here
    return claims


def delivered(owner):
    return SimpleNamespace(id="a call", retries=0, headers={DELIVERY: [owner, "celery", "{}"]})


def owners(claims):
    return sorted(claim.owner for claim in claims._renewer.held())


def test_two_deliveries_of_one_call_in_one_process_end_each_for_itself(claims, ledger):
    """The lease of the first was lost while it ran on, and a thread beside it has the call now."""
    first, second = delivered("first"), delivered("second")
    claims.begin(TASK, first)
    claims.begin(TASK, second)

    claims.end(None, first, "SUCCESS")
    assert (["second"], [("first", "done")]) == (owners(claims), ledger.settled)

    claims.end(None, second, "SUCCESS")
    assert ([], [("first", "done"), ("second", "done")]) == (owners(claims), ledger.settled)
