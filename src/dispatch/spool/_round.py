"""One round of a forwarder: take what is due, hand it on, write down what became of it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TypeAlias

import msgspec

from dispatch._clock import wall
from dispatch._log import logger
from dispatch.errors import DispatchError
from dispatch.spool._entry import Row, Verdict
from dispatch.spool._pause import Pause
from dispatch.spool._spool import Spool

Forward: TypeAlias = Callable[[Sequence[Row]], Iterable[Verdict]]
"""Hands rows on, each under its own id, and says what became of each, in any order. What it says nothing of is
`unknown`, and so is everything when it raises. `Forwarder.close` waits for it, so it should be bounded.
"""


class ForwarderStatistics(msgspec.Struct, kw_only=True):
    """What was done in this process, in rows."""

    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    never: int = 0
    errors: int = 0
    """Rounds that broke off, each logged; their rows are taken again."""


class Rounds(Protocol):
    """What a watchman goes, again and again, in one thread."""

    @property
    def statistics(self) -> ForwarderStatistics: ...

    @property
    def busy(self) -> bool:
        """Whether anything that was taken has not ended yet."""

    def anew(self) -> Rounds:
        """The same for a forked child: another owner, with nothing in hand."""

    def go(self) -> Literal["idle", "went on", "in vain"]:
        """Raises `DispatchError` for trouble with the disk."""

    def end(self) -> None:
        """It was the last one."""


class Round:
    """Gone through by one thread, again and again."""

    def __init__(self, spool: Spool, broker: str, forward: Forward, *, count: int, lease: float, pause: Pause) -> None:
        self.spool = spool
        self.broker = broker
        self.forward = forward
        self.count = count
        self.lease = lease
        self.pause = pause
        self.statistics = ForwarderStatistics()
        self._owner = secrets.token_hex(8)
        self._unwritten: Sequence[tuple[Verdict, int]] = ()
        """What the disk has not taken yet. Until it does nothing more is taken, for it would be sent twice."""

    @property
    def busy(self) -> bool:
        return False

    def anew(self) -> Round:
        """The same for a forked child: another owner, with nothing in hand."""
        return Round(self.spool, self.broker, self.forward, count=self.count, lease=self.lease, pause=self.pause)

    def go(self) -> Literal["idle", "went on", "in vain"]:
        """`in vain`: nothing was accepted. Raises `DispatchError` for trouble with the disk."""
        self._write_down()
        if not self.spool.is_due(self.broker):
            return "idle"
        rows = self.spool.take(self.broker, self._owner, count=self.count, lease=self.lease)
        if not rows:
            return "idle"  # another forwarder has the lease
        with kept(self._renew, every=self.lease / 3):
            verdicts = self._forwarded(rows)
        self._unwritten = [
            (verdict, wall() + round(self.pause.after(row.tries + 1) * 1e9))
            for row, verdict in zip(rows, verdicts, strict=True)
        ]
        self._write_down()
        for verdict in verdicts:
            setattr(self.statistics, verdict.what, getattr(self.statistics, verdict.what) + 1)
        return "went on" if any(verdict.what in ("accepted", "never") for verdict in verdicts) else "in vain"

    def end(self) -> None:
        """Let another forwarder begin at once. Raises as `go` does."""
        self._write_down()
        self.spool.release(self.broker, self._owner)

    # ---- within

    def _write_down(self) -> None:
        if self._unwritten:
            self.spool.settle(self._owner, self._unwritten)
            self._unwritten = ()

    def _forwarded(self, rows: Sequence[Row]) -> Sequence[Verdict]:
        """A verdict on each row, in their order."""
        silence = "it was forwarded, and nothing was said of it"
        said: dict[str, Verdict] = {}
        try:
            for verdict in self.forward(rows):
                said[verdict.id] = verdict
        except BaseException as error:  # noqa: BLE001 - what transports, brokers and tasks raise
            silence = f"it was forwarded, and that raised {type(error).__name__}: {error}"
            logger("spool").exception("forwarding from the spool failed", broker=self.broker)
        return [said.get(row.id) or Verdict(row.id, "unknown", silence) for row in rows]

    def _renew(self) -> None:
        self.spool.renew(self.broker, self._owner, lease=self.lease)


@contextmanager
def kept(renew: Callable[[], object], *, every: float) -> Generator[None]:
    """A block of any length in which a lease is renewed every so many seconds."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(every):
            try:
                renew()
            except DispatchError as error:
                logger("spool").warning("a forwarder's lease could not be renewed", error=str(error))

    keeper = threading.Thread(target=keep, name="dispatch-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()  # it must not take the lease again after it was given up
