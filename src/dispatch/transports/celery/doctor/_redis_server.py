"""What a Redis says of itself: whether it keeps, takes and holds what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import ResponseError

from dispatch._clock import wall
from dispatch._finding import Fact, Seen, error, note, warning
from dispatch._units import show_duration, show_size
from dispatch.transports.celery.doctor._reach import Reach
from dispatch.transports.celery.doctor._subject import Subject

_OLDEST = (6, 2)
"""What Celery 5.7 asks for."""

_NEAR, _VERY_NEAR = 0.8, 0.95
_SKEW_NS = 1_000_000_000
_OUTPUT = 1 << 20
"""Bytes that wait for a client that does not read. Redis ends it at 32 MiB, or at 8 MiB after a minute."""


def redis_server(subject: Subject, reached: Reach) -> Iterator[Seen]:
    """Everything that INFO, CONFIG GET, TIME and CLIENT LIST tell; what is forbidden is left out."""
    about = f"broker, {subject.broker}"
    facts: Mapping[str, Any] = reached.redis.info()
    yield from _version(about, facts)
    yield from _role(about, facts)
    yield from _disk(about, facts)
    yield from _memory(about, facts)
    yield from _clock(about, reached)
    yield from _listeners(about, reached)


def appendfsync(reached: Reach) -> str | None:
    """When it syncs; `None` where CONFIG is forbidden, as it often is."""
    try:
        return str(reached.redis.config_get("appendfsync").get("appendfsync"))
    except ResponseError:
        return None


def _version(about: str, facts: Mapping[str, Any]) -> Iterator[Seen]:
    said = str(facts.get("redis_version", ""))
    parts = tuple(int(part) for part in said.split(".")[:2] if part.isdigit())
    if parts and parts < _OLDEST:
        yield warning("old-server", about, f"it is Redis {said}", "Celery 5.7 asks for Redis 6.2 or newer.")
    else:
        yield Fact(about, f"Redis {said}")


def _role(about: str, facts: Mapping[str, Any]) -> Iterator[Seen]:
    if facts.get("role", "master") != "master":
        yield error(
            "broker-read-only",
            about,
            "it is a replica, and a replica takes no calls",
            "Give the address of the primary, or of the Sentinels.",
            "redis-cli REPLICAOF NO ONE   # if this is to be the primary",
        )
    if facts.get("loading"):
        yield warning(
            "broker-loading", about, "it is reading its file after a start", "Wait: it takes no calls until then."
        )


def _disk(about: str, facts: Mapping[str, Any]) -> Iterator[Seen]:
    if facts.get("aof_enabled") and facts.get("aof_last_write_status", "ok") != "ok":
        yield error(
            "write-failed", about, "it failed to write its append-only file", "Look at its disk, its log and its quota."
        )
    elif facts.get("rdb_last_bgsave_status", "ok") != "ok":
        yield error(
            "write-failed",
            about,
            "its last snapshot failed; as it comes, it refuses every write until one succeeds",
            "Look at its disk and its log. Where the append-only file is enough, switch snapshots off.",
            "redis-cli CONFIG SET save ''",
        )


def _memory(about: str, facts: Mapping[str, Any]) -> Iterator[Seen]:
    limit, used = int(facts.get("maxmemory") or 0), int(facts.get("used_memory") or 0)
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys-"):
        yield error(
            "evicts-queues",
            about,
            f"maxmemory-policy is {policy}: short of memory, it throws whole queues away and says nothing",
            "Set noeviction: what finds no room is refused then, and goes where the policy says.",
            "redis-cli CONFIG SET maxmemory-policy noeviction",
            "maxmemory-policy noeviction   # redis.conf",
        )
    if facts.get("evicted_keys"):
        yield note(
            "has-evicted",
            about,
            f"it has thrown {facts['evicted_keys']} keys away since it was started",
            "Where calls are missing, they may have been among them.",
        )
    if not limit:
        yield note(
            "no-memory-limit",
            about,
            f"maxmemory is not set; it holds {show_size(used)} now, and ends where the machine's memory ends",
            "Set it below the machine's memory: at the limit a publish is refused, without one the server is killed.",
            "redis-cli CONFIG SET maxmemory 2gb",
        )
    elif used > _NEAR * limit:
        make = error if used > _VERY_NEAR * limit else warning
        yield make(
            "memory-nearly-full",
            about,
            f"{show_size(used)} of {show_size(limit)} are used ({used / limit:.0%})",
            "Start workers, raise maxmemory, or give results an expiry.",
        )


def _clock(about: str, reached: Reach) -> Iterator[Seen]:
    before = wall()
    seconds, micros = reached.redis.time()
    after = wall()
    off = (int(seconds) * 10**9 + int(micros) * 1000) - (before + after) // 2
    if abs(off) - (after - before) // 2 > _SKEW_NS:
        yield warning(
            "clock-skew",
            about,
            f"its clock and ours differ by {show_duration(abs(off))}",
            "Have both machines set their clocks by NTP: expiry and delays are dates.",
        )


def _listeners(about: str, reached: Reach) -> Iterator[Seen]:
    try:
        clients = reached.redis.client_list(_type="pubsub")
    except ResponseError:
        return
    behind = [each for each in clients if int(each.get("omem", 0)) > _OUTPUT]
    if behind:
        worst = max(int(each["omem"]) for each in behind)
        yield warning(
            "unread-results",
            about,
            f"{len(behind)} clients have subscribed to results and do not read them; up to {show_size(worst)} wait",
            "Say result=False on tasks whose results nobody reads. Celery's own delay() subscribes; ours does not.",
        )
