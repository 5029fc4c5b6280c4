"""The renewer: keeps the leases of what this process runs, whatever its tasks do to their threads."""

from __future__ import annotations

import os
import random
import weakref
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch.transports.celery.ledger import _native
from dispatch.transports.celery.ledger._entry import Claim
from dispatch.transports.celery.ledger._ledger import Ledger

_A_WHILE = 5.0
"""Seconds that the thread stays when nothing is held."""

_SHARE = 3
"""Renewals in the length of one lease: two may fail."""


class Renewer:
    """Renews each claim that it holds, every third of its lease, over a connection of its own.

    Its thread is a real one, even under gevent: a greenlet would not get its turn while a task computes. It starts with
    the first claim, outlives failures of Redis, and ends when nothing was held for a while. A forked child holds
    nothing. All methods may be called from any thread and wait for nobody.
    """

    def __init__(self, connect: Callable[[], Ledger], lost: Callable[[Claim], None] | None = None) -> None:
        """`connect` is called on the renewer's thread; every wait of its client should be bounded by a few seconds.

        `lost` is told there of each claim that is no longer ours: its call runs here and may run elsewhere too.
        """
        self._connect = connect
        self._lost = lost or _mention
        self._running: bool
        self._begin()
        _renewers.add(self)

    def hold(self, claim: Claim) -> None:
        """Renew it from now on."""
        if self._pid != os.getpid():  # a fork that ran no hooks
            self._begin()
        with self._lock:
            self._next[claim] = monotonic() + _third(claim)
            if not self._running:
                # At the interpreter's end no thread can be started, and nothing runs for as long as a lease.
                with suppress(RuntimeError):
                    _native.start(self._run, "dispatch-renewer")
                    self._running = True
            self._ring()

    def let_go(self, claim: Claim) -> None:
        """Renew it no more: about to be settled. What is not held, or no longer, is let go already."""
        with self._lock:
            self._next.pop(claim, None)

    def held(self) -> tuple[Claim, ...]:
        """What is being renewed."""
        with self._lock:
            return tuple(self._next)

    # ---- within

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = _native.lock()
        self._bell = _native.lock()
        self._bell.acquire()
        self._next: dict[Claim, float] = {}
        """When each is to be renewed."""
        self._running = False

    def _ring(self) -> None:
        if self._bell.locked():
            self._bell.release()

    def _run(self) -> None:
        ledger: Ledger | None = None
        failing = False
        while (claims := self._due()) is not None:
            try:
                ledger = ledger or self._connect()
                lost = ledger.renew(claims)
            except Exception as error:  # noqa: BLE001 - whatever the network or the client raises, leases must be kept
                if not failing:
                    logger("ledger").warning("leases cannot be renewed just now; it is tried again", error=repr(error))
                failing = True
                self._put_off(claims)
                continue
            if failing:
                logger("ledger").info("leases are renewed again")
            failing = False
            self._report(lost)
        if ledger is not None:
            ledger.close()

    def _due(self) -> list[Claim] | None:
        """What has to be renewed now, at least one, after waiting for it; `None` when nothing was held for a while."""
        idle_until = monotonic() + _A_WHILE
        while True:
            with self._lock:
                now = monotonic()
                due = [claim for claim, when in self._next.items() if when <= now]
                for claim in due:
                    self._next[claim] = now + _third(claim)
                if not due and not self._next and now >= idle_until:
                    self._running = False
                    return None
                wake = min(self._next.values(), default=idle_until)
            if due:
                return due
            self._bell.acquire(timeout=max(wake - now, 0))

    def _put_off(self, claims: list[Claim]) -> None:
        """Try again soon, and not all processes at the same moment."""
        with self._lock:
            now = monotonic()
            for claim in claims:
                if claim in self._next:
                    self._next[claim] = now + min(_third(claim) / 4, 1.0) * random.uniform(0.5, 1.0)  # noqa: S311

    def _report(self, lost: list[Claim]) -> None:
        for claim in lost:
            with self._lock:
                ours = self._next.pop(claim, None)
            # One that was let go meanwhile has been settled by us.
            if ours is not None:
                self._lost(claim)


def _third(claim: Claim) -> float:
    return claim.lease_ms / 1000 / _SHARE


def _mention(claim: Claim) -> None:
    logger("ledger").warning(
        "a lease ran out, and the call may be running elsewhere too: this process, or Redis, stood still for too long",
        dispatch_call_id=claim.id,
        attempt=claim.attempt,
    )


_renewers: weakref.WeakSet[Renewer] = weakref.WeakSet()


def _forget_all() -> None:
    for renewer in tuple(_renewers):
        renewer._begin()  # noqa: SLF001 - of this module


renew_in_child(_forget_all)
