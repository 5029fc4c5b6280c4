"""Whether a broker keeps what it accepts: asked, and answered with the cure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

_ASSERT = "or say `durability: asserted` in the policy, on your own word"


Need: TypeAlias = Literal["nothing", "kept", "synced"]
"""What a call asks of the broker: nothing, to survive the death of its process, or the loss of power as well."""


class Proof(msgspec.Struct, frozen=True):
    """`kept`: what the broker accepts survives the death of its process. Else `why` says what is missing."""

    kept: bool
    why: str = ""
    cure: str = ""
    unsynced: str = ""
    """Why what it accepts may not survive the loss of power; empty: it does."""

    def missing(self, need: Need) -> str | None:
        """What a call with this need cannot have here, with the cure; `None`: it has all that it needs."""
        if need != "nothing" and not self.kept:
            return f"{self.why}. To mend it: {self.cure}"
        return f"{self.unsynced}. To mend it: {_SYNC}" if need == "synced" and self.unsynced else None


KEPT = Proof(kept=True)

_SYNC = "set `appendfsync always`, or leave `require: fsync` out of the policy"


def of_redis(facts: Mapping[str, str]) -> Proof:
    """From the server's INFO: an append-only file that is being written, and no eviction of queues.

    `appendfsync` beside it, where the server says it.
    """
    if facts.get("aof_enabled") != "1":
        return _lacking("Redis has no append-only file", "set `appendonly yes`")
    if facts.get("aof_last_write_status") != "ok":
        return _lacking("Redis failed to write its append-only file", "look at its disk and its log")
    policy = facts.get("maxmemory_policy", "unknown")
    if policy != "noeviction" and not policy.startswith("volatile-"):
        return _lacking(
            f"Redis may evict whole queues (maxmemory-policy {policy})", "set `maxmemory-policy noeviction`"
        )
    return msgspec.structs.replace(KEPT, unsynced=_unsynced(facts.get("appendfsync")))


def _unsynced(appendfsync: str | None) -> str:
    if appendfsync == "always":
        return ""
    if appendfsync is None:
        return "Redis does not say when it syncs its append-only file (CONFIG GET is not allowed)"
    return f"Redis answers before it has synced its append-only file (appendfsync {appendfsync})"


def of_queue(queue: Any) -> Proof:
    """Of a queue of kombu's that RabbitMQ has just agreed to hold as it is described.

    A quorum queue confirms what a majority of its members has synced (RabbitMQ, "Quorum Queues", data safety).
    """
    if queue.durable and (queue.queue_arguments or {}).get("x-queue-type") == "quorum":
        return KEPT
    return _lacking(
        f"queue {queue.name!r} is not a quorum queue",
        'describe it as one: task_default_queue_type="quorum", or app.conf.update(dispatch.celery_settings())',
    )


def not_asked(error: str) -> Proof:
    """The broker would not say."""
    return _lacking(f"the broker does not say what it keeps: {error}", "allow it to be asked")


def disagreed(queue: str, error: str) -> Proof:
    """RabbitMQ has the queue, and not as the app describes it."""
    return _lacking(
        f"queue {queue!r} is not as the Celery app describes it: {error}", "delete it, or describe it as it is"
    )


def not_described(queue: str) -> Proof:
    """The app makes no queues of its own accord, and this one is not among those it has."""
    return _lacking(f"the Celery app describes no queue {queue!r}", "add it to its task_queues")


def not_known(system: str) -> Proof:
    return _lacking(f"whether {system} keeps what it accepts cannot be asked", "use Redis or RabbitMQ")


NO_QUEUE = Proof(
    kept=False,
    why="the call names an exchange, and which queues are behind it cannot be asked",
    cure=f"name a queue instead, {_ASSERT}",
)


def _lacking(why: str, cure: str) -> Proof:
    return Proof(kept=False, why=why, cure=f"{cure}, {_ASSERT}")
