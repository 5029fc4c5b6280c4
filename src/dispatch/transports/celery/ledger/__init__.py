"""The ledger: what makes a durable call on Redis outlive the death of any process.

Celery pops a message from its list and notes in a second step that it did; a worker that dies in between loses the
call. So each durable call has an entry here, from its publication until it has settled, and the sweep publishes again
what nobody runs and no queue can hold. An entry is waiting (for its time), queued, running until its lease ends, or
settled. `docs/design.md` argues why nothing is lost.

Needs Redis 6.2 or Valkey, one server or a primary with replicas; not Redis Cluster, where a script may not touch keys
of several slots.

**Who publishes** sends `SCRIPT LOAD` once on each connection and puts one command where kombu would put its LPUSH:

    ledger = Ledger(redis.Redis(connection_pool=channel.pool), prefix=channel.global_keyprefix)
    headers[STAMP_HEADER] = NO_STAMP                 # in every message, also an ephemeral one that is delayed
    ("LPUSH", list_key, text)                        # what kombu put into the pipeline becomes
    ledger.entering(Entry(id=…, list_key=list_key, message=text, …))
    ledger.entered(reply)                            # not fresh: the id is known, and nothing was pushed

An error in reply to it is a refusal, and nothing was written, except for a connection that broke: then it is unknown,
and the same command may be sent again. `NOSCRIPT` is not a refusal: send `ledger.lesson()` and the same again.
(Ephemeral calls are the exception: one that was published may be forgotten already, so they are not sent twice.)

**Who runs** asks before user code, and says what became of it once the result is stored:

    verdict = ledger.claim(id, attempt, owner=uuid4().hex, entry=…)   # attempt: retries + 1
    if isinstance(verdict, Dropped): …               # acknowledge, run nothing, store nothing
    renewer.hold(verdict)                            # from now on, until
    renewer.let_go(verdict)                          # and then one of
    ledger.settle(verdict, "done") · ledger.again(verdict, text, list_key, delay_ms=…) · ledger.bury(verdict, …)

All of them in the process that runs it (in a prefork pool: the child). The `Entry` for the claim is asked for only when
the ledger does not know the call, which is plain Celery's then: its message needs the stamp's header too. A claim that
raises has not been refused: the call is neither to be run nor to be forgotten, and the sweep brings it again, if the
ledger knew it. `ledger.discard` is for what Celery throws away before that, and for a caller who takes a call back: it
says `ended` only when the call will never run. Celery's own `Task.retry` must not be used for these calls: it publishes
past the ledger, and its message would be dropped as settled.

**Who stays** (dispatchers, and the main process of each worker) keeps a `Sweeper` going, and calls its `nudge` after
entering a delayed call: otherwise that may be half a second late.

Scripts raise what redis-py makes of their errors. Before Redis 7 it does not know an `OutOfMemoryError` out of a script
for one: there it is a `ResponseError` whose text says so.
"""

from dispatch.transports.celery.ledger._entry import Claim as Claim
from dispatch.transports.celery.ledger._entry import Dropped as Dropped
from dispatch.transports.celery.ledger._entry import Elsewhere as Elsewhere
from dispatch.transports.celery.ledger._entry import Entered as Entered
from dispatch.transports.celery.ledger._entry import Entry as Entry
from dispatch.transports.celery.ledger._entry import Size as Size
from dispatch.transports.celery.ledger._entry import Swept as Swept
from dispatch.transports.celery.ledger._entry import Terms as Terms
from dispatch.transports.celery.ledger._entry import Verdict as Verdict
from dispatch.transports.celery.ledger._ledger import Ledger as Ledger
from dispatch.transports.celery.ledger._letters import Bounds as Bounds
from dispatch.transports.celery.ledger._letters import Letter as Letter
from dispatch.transports.celery.ledger._letters import Letters as Letters
from dispatch.transports.celery.ledger._letters import Tally as Tally
from dispatch.transports.celery.ledger._message import NO_STAMP as NO_STAMP
from dispatch.transports.celery.ledger._message import STAMP_HEADER as STAMP_HEADER
from dispatch.transports.celery.ledger._message import next_attempt as next_attempt
from dispatch.transports.celery.ledger._renewer import Renewer as Renewer
from dispatch.transports.celery.ledger._script import Command as Command
from dispatch.transports.celery.ledger._sweeper import Sweeper as Sweeper

__all__ = [
    "NO_STAMP",
    "STAMP_HEADER",
    "Bounds",
    "Claim",
    "Command",
    "Dropped",
    "Elsewhere",
    "Entered",
    "Entry",
    "Ledger",
    "Letter",
    "Letters",
    "Renewer",
    "Size",
    "Sweeper",
    "Swept",
    "Tally",
    "Terms",
    "Verdict",
    "next_attempt",
]
