"""Why Redis is better left alone just now, though it answers: from what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch._units import show_size

_HIGH = 0.95
_LOW = 0.90
"""Of `maxmemory`: who is refused for want of it has lost a round trip, and a worker that is refused loses more."""


class Alarm:
    """Reads one server's INFO time and again. Used by one thread."""

    def __init__(self) -> None:
        self._is_high = False
        self._evicted: int | None = None

    def read(self, facts: Mapping[str, str]) -> str | None:
        """What is wrong, with the figures; `None`: nothing, as far as it says."""
        return self._memory(facts) or self._evictions(facts) or _disk(facts) or _role(facts)

    def _memory(self, facts: Mapping[str, str]) -> str | None:
        """Near the limit, where nothing makes room: it is about to refuse what is written."""
        limit = _number(facts, "maxmemory")
        if not limit or facts.get("maxmemory_policy") != "noeviction":
            self._is_high = False
            return None
        used = max(0, _number(facts, "used_memory") - _number(facts, "mem_not_counted_for_evict"))
        self._is_high = used >= (_LOW if self._is_high else _HIGH) * limit
        if not self._is_high:
            return None
        return f"Redis has used {100 * used / limit:.3g} % of its maxmemory of {show_size(limit)}, and evicts nothing"

    def _evictions(self, facts: Mapping[str, str]) -> str | None:
        """Since it was read last: what it throws away may be ours."""
        before, self._evicted = self._evicted, _number(facts, "evicted_keys")
        if before is None or self._evicted <= before:
            return None
        return f"Redis has evicted {self._evicted - before} keys within seconds: it is out of memory"


def _disk(facts: Mapping[str, str]) -> str | None:
    if facts.get("loading") == "1":
        return "Redis is loading its data"
    if facts.get("aof_enabled") == "1" and facts.get("aof_last_write_status") == "err":
        return "Redis cannot write its append-only file, and takes no writes until it can"
    if facts.get("rdb_last_bgsave_status") == "err" and facts.get("stop-writes-on-bgsave-error") == "yes":
        return "Redis could not save its data to disk, and takes no writes until it can"
    return None


def _role(facts: Mapping[str, str]) -> str | None:
    if facts.get("role") == "slave" and facts.get("slave_read_only", "1") == "1":
        return "Redis has become a replica, and takes no writes"
    return None


def _number(facts: Mapping[str, str], name: str) -> int:
    text = facts.get(name, "")
    return int(text) if text.isdecimal() else 0
