"""Dead letters on this machine's disk: calls that failed here for good, or that nothing can forward."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dispatch._dead_letter import DeadLetter, Retried
from dispatch.spool import Spool, Summary

_MOST = 1_000_000


class LettersInSpool:
    """`DeadLetters` of one application's spool."""

    place = "spool"

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def letters(self) -> Iterator[DeadLetter]:
        return (_told(row) for row in reversed(self._dead()))

    def show(self, call_id: str) -> DeadLetter | None:
        return next((_told(row) for row in self._dead() if row.id == call_id), None)

    def retry(self, ids: Collection[str]) -> dict[str, Retried]:
        """They go with the next round of their forwarder, in whichever process that is."""
        return {call_id: "sent" for call_id in ids if self._spool.revive(call_id)}

    def drop(self, ids: Collection[str]) -> set[str]:
        dead = {row.id for row in self._dead()}
        return {call_id for call_id in ids if call_id in dead and self._spool.drop(call_id) is not None}

    def close(self) -> None:
        self._spool.close()

    def _dead(self) -> list[Summary]:
        return list(self._spool.ls(state="dead", limit=_MOST))


def _told(row: Summary) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        task=row.task,
        reason="failed",
        error=row.last_error or "",
        traceback=row.traceback or "",
        attempts=row.attempt,
        deliveries=row.tries + 1,
        trace_id=row.trace,
        queue=row.broker,
        at_ms=row.added // 1_000_000,
        arguments=f"{row.size} bytes on disk",
    )
