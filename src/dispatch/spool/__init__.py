"""Calls on local disk that wait for their transport, and the forwarder that hands them on.

    spool = Spool("shop")                                  # one file per application and user
    spool.add(Entry(id=…, broker="redis", task=…, arguments=b"…"))   # synced when this returns
    Forwarder(spool, "redis", forward).start()             # forward(rows) says what became of each: `Verdict`

A machine: it knows nothing of Celery, of policies, or of what the arguments mean.
"""

from dispatch.spool._entry import Entry as Entry
from dispatch.spool._entry import Row as Row
from dispatch.spool._entry import State as State
from dispatch.spool._entry import Summary as Summary
from dispatch.spool._entry import Verdict as Verdict
from dispatch.spool._forwarder import Forwarder as Forwarder
from dispatch.spool._ground import Ground as Ground
from dispatch.spool._ground import ground_of as ground_of
from dispatch.spool._pause import Pause as Pause
from dispatch.spool._receipt import Receipt as Receipt
from dispatch.spool._round import Forward as Forward
from dispatch.spool._round import ForwarderStatistics as ForwarderStatistics
from dispatch.spool._run_round import Ended as Ended
from dispatch.spool._run_round import Run as Run
from dispatch.spool._runner import Runner as Runner
from dispatch.spool._salvage import Incident as Incident
from dispatch.spool._spool import PATIENCE as PATIENCE
from dispatch.spool._spool import Spool as Spool
from dispatch.spool._statistics import SpoolStatistics as SpoolStatistics
from dispatch.spool._trouble import Trouble as Trouble
from dispatch.spool._watchman import Watchman as Watchman

__all__ = [
    "PATIENCE",
    "Ended",
    "Entry",
    "Forward",
    "Forwarder",
    "ForwarderStatistics",
    "Ground",
    "Incident",
    "Pause",
    "Receipt",
    "Row",
    "Run",
    "Runner",
    "Spool",
    "SpoolStatistics",
    "State",
    "Summary",
    "Trouble",
    "Verdict",
    "Watchman",
    "ground_of",
]
