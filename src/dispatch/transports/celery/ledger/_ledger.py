"""The ledger's door: each of its transitions as one command to Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import redis

from dispatch._log import logger
from dispatch.transports.celery.ledger._entry import Claim, Dropped, Elsewhere, Entered, Entry, Size, Swept, Verdict
from dispatch.transports.celery.ledger._letters import Bounds, Letters
from dispatch.transports.celery.ledger._message import NO_STAMP, cut
from dispatch.transports.celery.ledger._script import Command, Script, read

_ENTER = Script("enter", words=False)
_CLAIM = Script("claim")
_RENEW = Script("renew")
_LAPSE = Script("lapse")
_SETTLE = Script("settle")
_DISCARD = Script("discard")
_AGAIN = Script("again")
_BURY = Script("bury")
_SWEEP = Script("sweep")
_RELEASE = Script("release")
_SIZE = Script("size")

Discarded: TypeAlias = Literal["ended", "elsewhere", "unknown"]

LOCK_MS = 3_000
"""A sweeper that is silent for so long is taken for dead."""

_LATE_MS = 5_000
"""A sweep looks twice a second, and another sweeper takes over within three."""

_STEP = 50
"""Entries for one step of the sweep, or one renewal: less than a millisecond, in which the server does nothing else."""

_STEP_BYTES = 256 << 10
"""A step of the sweep ends with the message that reaches this."""


class Ledger:
    """Every durable call on Redis, from its publication until its outcome has been forgotten.

    The times in it are the server's. Every method is one round trip, may be called from any thread, raises
    `redis.RedisError`, and may be called again with the same arguments when its answer was lost.
    """

    def __init__(self, client: redis.Redis, *, prefix: str = "", bounds: Bounds | None = None) -> None:
        """`prefix` is kombu's `global_keyprefix`; `client` must not add it too, as the clients that kombu makes do.

        `bounds` limit the dead letters.
        """
        if getattr(client, "global_keyprefix", None):
            raise ValueError(
                "this client puts a prefix before keys by itself; "
                "give the ledger redis.Redis(connection_pool=client.connection_pool)"
            )
        self._client = client
        self._root = f"{prefix}dispatch:"
        self._bounds = bounds or Bounds()
        self.letters = Letters(client, self._root)

    def close(self) -> None:
        """Close the client's connections; used again, it opens new ones."""
        self._client.close()

    # ---- who publishes

    def entering(self, entry: Entry) -> Command:
        """The command that writes the entry and pushes its message, both or neither: it takes the place of kombu's
        LPUSH in a pipeline.

        `entered` reads its answer. An error is a refusal; `NOSCRIPT` asks for `lesson`, and then for the same again.
        """
        before, after = cut(entry.message)
        return _ENTER.command(
            self._root,
            entry.id,
            entry.list_key,
            before,
            after,
            entry.task,
            entry.lease_ms,
            entry.remember_ms,
            entry.max_deliveries,
            entry.attempt,
            entry.durability,
            entry.delay_ms,
        )

    @staticmethod
    def entered(reply: Any) -> Entered:
        state, outcome = read(reply)
        return Entered(state == "entered", state, outcome)

    @staticmethod
    def lesson() -> Command:
        """Teaches the server what `entering` asks for. To be sent once on each new connection."""
        return _ENTER.lesson()

    def enter(self, entry: Entry) -> Entered:
        """Write the entry and push its message, by itself and not in a pipeline."""
        _, _, _, _, *arguments = self.entering(entry)
        return self.entered(_ENTER.run(self._client, self._root, *arguments))

    # ---- who runs

    def claim(self, call_id: str, attempt: int, owner: str, entry: Callable[[], Entry]) -> Verdict:
        """Ask for the right to run a call whose message has come. To be asked before any of the user's code runs.

        `owner` is a text that nobody used before, for each delivery a new one; it stays the same only when the
        question is repeated. `entry` makes what the ledger needs when it does not know the call or this attempt of
        it; that costs another round trip.
        """
        given = (call_id, attempt, owner, self._bounds.count, self._bounds.bytes)
        answer, *facts = _CLAIM.run(self._client, self._root, *given)
        if answer == "absent":
            made = entry()
            terms = (made.list_key, *cut(made.message), made.task, made.lease_ms, made.remember_ms, made.max_deliveries)
            answer, *facts = _CLAIM.run(self._client, self._root, *given, *terms)
        if answer == "claimed":
            return Claim(call_id, owner, attempt, *facts)
        if answer == "dead":
            _mention(*facts)
        return Dropped(answer, facts[0] if answer == "settled" else "")

    def renew(self, claims: Sequence[Claim]) -> list[Claim]:
        """Begin the leases anew. Returns the claims that are lost: settled, or somebody else's."""
        lost: list[Claim] = []
        for start in range(0, len(claims), _STEP):
            some = claims[start : start + _STEP]
            pairs = [word for claim in some for word in (claim.id, claim.owner)]
            answers = _RENEW.run(self._client, self._root, *pairs)
            lost.extend(claim for claim, mine in zip(some, answers, strict=True) if not mine)
        return lost

    def lapse(self, claim: Claim) -> bool:
        """Whoever held this claim is known to be dead: the sweep need not wait for the end of its lease."""
        return bool(_LAPSE.run(self._client, self._root, claim.id, claim.owner))

    def settle(self, claim: Claim, outcome: str) -> bool:
        """The call has ended and its result is stored. False: the claim was lost, and its new owner will settle."""
        return bool(_SETTLE.run(self._client, self._root, claim.id, claim.owner, outcome))

    def message(self, call_id: str) -> tuple[str, str]:
        """The message of the attempt that is being made, with an old stamp in it, and the list it belongs into.

        Raises `KeyError` when the call has ended, or is not known.
        """
        found = self._client.hmget(f"{self._root}ledger:{call_id}", "before", "after", "list")
        before, after, list_key = read(found)
        if before is None:
            raise KeyError(call_id)
        return f"{before}{NO_STAMP}{after}", list_key

    def again(self, claim: Claim, message: str, list_key: str, *, delay_ms: int = 0) -> bool:
        """End this attempt and begin the next, with its own message, now or after `delay_ms`. False: as in `settle`.

        The message's own count of attempts must be `claim.attempt + 1`: by it the next claim is told from this one.
        """
        before, after = cut(message)
        arguments = (claim.id, claim.owner, claim.attempt + 1, delay_ms, list_key, before, after)
        return bool(_AGAIN.run(self._client, self._root, *arguments))

    def bury(self, claim: Claim, *, error: str, traceback: str, trace_id: str = "") -> bool:
        """The call has failed for good: keep it whole as a dead letter. False: as in `settle`."""
        bounds = (self._bounds.count, self._bounds.bytes)
        arguments = (claim.id, claim.owner, *bounds, error, traceback, trace_id)
        gone: int = _BURY.run(self._client, self._root, *arguments)
        _mention(gone)
        return gone >= 0

    def discard(self, call_id: str, attempt: int, reason: str) -> Discarded:
        """The call will not be run: Celery threw its message away (expired, revoked), or its caller took it back.

        `ended` by that; or the message was a copy, and the call is `elsewhere`: it runs, has ended, or is at a later
        attempt; or `unknown` here.
        """
        answer: Discarded = _DISCARD.run(self._client, self._root, call_id, attempt, reason)
        return answer

    # ---- who sweeps

    def sweep(self, owner: str, *, lock_ms: int = LOCK_MS, limit: int = _STEP) -> Swept | Elsewhere:
        """One bounded step of the sweep, by the one sweeper that has the lock: what is due, `limit` entries at most.

        Publishes what is due, what a worker held and let go silent, and what its queue has lost.
        """
        bounds = (self._bounds.count, self._bounds.bytes)
        mine, pause, *found = _SWEEP.run(self._client, self._root, owner, lock_ms, limit, _STEP_BYTES, *bounds)
        if not mine:
            return Elsewhere(max(pause, 0))
        swept = Swept(None if pause < 0 else pause, *found)
        _mention(swept.letters_gone)
        return swept

    def size(self) -> Size:
        """How much is in it. As quick for many entries as for few."""
        return Size(*_SIZE.run(self._client, self._root, _LATE_MS))

    def release(self, owner: str) -> None:
        """Give up the sweeper's lock, if it is `owner`'s."""
        _RELEASE.run(self._client, self._root, owner)


def _mention(letters_gone: int) -> None:
    if letters_gone > 0:
        logger("ledger").warning(
            "the dead letters are over their bounds, and the oldest are gone: exhume or drop some", gone=letters_gone
        )
