"""What this process has claimed in the ledger: asked for before a durable call runs, answered for once it has ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event
from time import monotonic
from typing import Any, TypeVar

import msgspec
from celery import Celery, states
from celery.exceptions import Ignore
from celery.utils.log import get_logger

from dispatch._fork import renew_in_child
from dispatch._outcome import Failure
from dispatch._turn import Turn
from dispatch.transports.celery._redis import connect
from dispatch.transports.celery._signer import rewritten
from dispatch.transports.celery.ledger import Claim, Dropped, Ledger, Renewer, Verdict, next_attempt
from dispatch.transports.celery.worker._burial import worn_out
from dispatch.transports.celery.worker._delivery import Delivery, Stale, delivery_of, entry_of, tell_dead, trace_id

T = TypeVar("T")

_PATIENCE = 60.0
_PAUSE = 0.5
"""Seconds for which a worker asks a ledger that does not answer, and between two questions."""

_pause = Event()
"""Nobody sets it: it waits as greenlets and threads do."""

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


class _Held(msgspec.Struct):
    claim: Claim
    trace_id: str
    failure: Failure | None = None
    ended: bool = False
    """Its entry speaks of something else already: of the next attempt."""


class Claims:
    """One process's side of the ledger of one app."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connect = partial(connect, app)
        self._ledger: Ledger | None = None
        self._renewer = Renewer(self._connect)
        self._held: dict[str, _Held] = {}
        """By the owner, who is one delivery: a call may be delivered to a process twice, when its lease was lost."""

    @property
    def ledger(self) -> Ledger:
        made = self._ledger
        if made is None:
            made = self._ledger = self._connect()
        return made

    def begin(self, task: Any, request: Any) -> None:
        """Claim the call of this request, and renew the claim from now on.

        Raises Celery's `Ignore` when it is not to be run: it has ended, somebody else runs it, or the ledger cannot
        be asked for so long that the sweep had better bring the call again. Raises `DeadLettered`, its outcome, when it
        was claimed too often, and is a dead letter now.
        """
        delivery = delivery_of(request)
        if delivery is None:
            return
        attempt = request.retries + 1
        verdict = self._claimed(task, request, attempt, delivery)
        if isinstance(verdict, Dropped):
            if verdict.why == "dead":
                tell_dead(task, request, "max_deliveries", None)
                raise worn_out(task.name, request.id)
            logger.info("Task %s[%s] is not run: %s", task.name, request.id, _WHY[verdict.why])
            raise Ignore(_WHY[verdict.why])
        self._held[delivery.owner] = _Held(verdict, trace_id(request.headers or {}))
        self._renewer.hold(verdict)

    def _claimed(self, task: Any, request: Any, attempt: int, delivery: Delivery) -> Verdict:
        until = monotonic() + _PATIENCE
        while True:
            try:
                return self.ledger.claim(
                    request.id, attempt, delivery.owner, partial(entry_of, task, request, delivery)
                )
            except Stale as error:
                told = "it was signed longer ago than DISPATCH_SIGNING_WINDOW allows, and the ledger does not know it"
                logger.warning("Task %s[%s] is turned away and not run: %s", task.name, request.id, told)
                raise Ignore(told) from error
            except Exception as error:
                logger.warning("Task %s[%s]: the ledger cannot be asked: %r", task.name, request.id, error)
                if monotonic() > until:
                    raise Ignore(f"the ledger cannot be asked: {error!r}") from error
            _pause.wait(_PAUSE)

    def failed(self, request: Any, failure: Failure) -> None:
        """How a call that is held has ended, for its dead letter."""
        held = self._held.get(_owner(request))
        if held is not None:
            held.failure = failure

    def again(self, request: Any, delay_ms: int, headers: dict[str, str]) -> bool:
        """End this attempt and have the next one published when it is due. False: somebody else has the call."""
        held = self._held.get(_owner(request))
        claim = _foreign(request) if held is None else held.claim
        if claim is None:
            return False
        if held is not None:
            self._renewer.let_go(held.claim)
            held.ended = True
        try:
            text, list_key = self.ledger.message(request.id)
        except KeyError:
            return False
        again = rewritten(self._app, text, next_attempt(text, claim.attempt, headers))
        return self.ledger.again(claim, again, list_key, delay_ms=delay_ms)

    def end(self, task: Any, request: Any, state: str | None) -> None:
        """The result is stored: settle what is held, or bury it. Without a state, its lease is left to run out."""
        held = self._held.pop(_owner(request), None)
        if held is None or held.ended:
            return
        self._renewer.let_go(held.claim)
        if state is None:
            return
        if state != states.FAILURE:
            kept = self._settle(held.claim, state)
        elif kept := self._bury(held.claim, held.trace_id, held.failure):
            tell_dead(task, request, "failed", None if held.failure is None else held.failure.error)
        if not kept:
            logger.warning("Task %s: its lease ran out while it ran; it runs, or has run, elsewhere too", request.id)

    def lapse(self, request: Any) -> None:
        """The process of this worker that ran the call is dead: let it run again at once."""
        claim = _foreign(request)
        if claim is not None:
            self._tell(lambda: self.ledger.lapse(claim))

    def bury(self, task: Any, request: Any, failure: Failure) -> None:
        """The same for a call whose process was ended by this one."""
        claim = _foreign(request)
        if claim is not None and self._tell(lambda: self._bury(claim, trace_id(request.headers or {}), failure)):
            tell_dead(task, request, "failed", failure.error)

    def discard(self, request: Any, reason: str) -> bool:
        """Celery throws the message away: the ledger must not bring the call again.

        False: the message was a copy, and the call runs elsewhere, or has ended there.
        """
        return self._tell(lambda: self.ledger.discard(request.id, request.retries + 1, reason)) != "elsewhere"

    def _tell(self, say: Callable[[], T]) -> T | None:
        """From the worker's main process, where an error would end more than one call. The answer; `None` for none."""
        try:
            return say()
        except Exception as error:  # noqa: BLE001 - see above; at worst the call is run once more
            logger.warning("the ledger could not be told: %r", error)
            return None

    def _settle(self, claim: Claim, state: str) -> bool:
        return self.ledger.settle(claim, "done" if state == states.SUCCESS else state.lower())

    def _bury(self, claim: Claim, trace_id: str, failure: Failure | None) -> bool:
        error, traceback = ("its error is not known", "") if failure is None else failure.told()
        return self.ledger.bury(claim, error=error, traceback=traceback, trace_id=trace_id)


def _owner(request: Any) -> str:
    """Who claims for this request; nobody of this name does for one that the ledger does not keep."""
    delivery = delivery_of(request)
    return "" if delivery is None else delivery.owner


def _foreign(request: Any) -> Claim | None:
    """The claim that another process of this worker has, or had, on the call of a request."""
    delivery = delivery_of(request)
    return None if delivery is None else Claim(request.id, delivery.owner, request.retries + 1, 0, 0)


_WHY = {
    "settled": "it has ended already",
    "running": "another worker runs it",
    "older": "a further attempt was made since",
    "early": "this attempt is not due yet",
}
_turn = Turn()
_claims: dict[int, Claims] = {}


def claims_of(app: Celery) -> Claims:
    """Those of this process; made when they are first asked for."""
    made = _claims.get(id(app))
    if made is None:
        with _turn.lock:
            made = _claims.setdefault(id(app), Claims(app))
    return made


def _forget() -> None:
    # A child has claimed nothing, and has connections of its own.
    _claims.clear()


renew_in_child(_forget)


def settle(task: Any, state: str | None = None, **_: Any) -> None:
    """For Celery's `task_postrun`: the body has ended and its result is stored."""
    claims = _claims.get(id(task.app))
    if claims is not None:
        claims.end(task, task.request, state)
