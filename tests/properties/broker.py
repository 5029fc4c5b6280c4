"""Redis as the machine sees it: what is in it, and a way to let time pass there without waiting."""

from __future__ import annotations

from typing import Any

import redis

from dispatch.transports.celery.ledger import Ledger
from properties.caller import QUEUE

_LATER = """
local by = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', 'dispatch:ledger:*')) do
  for _, name in ipairs({'stamp', 'until'}) do
    if redis.call('HEXISTS', key, name) == 1 then
      redis.call('HINCRBY', key, name, -by)
    end
  end
  local left = redis.call('PTTL', key)
  if left > 0 then
    redis.call('PEXPIRE', key, left - by)
  end
end
local function aged(text)
  return (string.gsub(text, '("dispatch%-stamp": ")(%d+)', function(name, stamp)
    return name .. string.format('%013.0f', math.max(0, tonumber(stamp) - by))
  end))
end
for _, id in ipairs(redis.call('ZRANGE', 'dispatch:due', 0, -1)) do
  redis.call('ZINCRBY', 'dispatch:due', -by, id)
end
for _, tag in ipairs(redis.call('ZRANGE', 'unacked_index', 0, -1)) do
  redis.call('ZINCRBY', 'unacked_index', -by / 1000, tag)
  redis.call('HSET', 'unacked', tag, aged(redis.call('HGET', 'unacked', tag)))
end
for place, text in ipairs(redis.call('LRANGE', ARGV[2], 0, -1)) do
  redis.call('LSET', ARGV[2], place - 1, aged(text))
end
"""


class Redis:
    """The server, over a connection that nothing happens to."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url, decode_responses=True)
        self.ledger = Ledger(self.client)
        self._later = self.client.register_script(_LATER)

    def later(self, milliseconds: int) -> None:
        """All that is remembered is so much longer ago."""
        self._later(args=[milliseconds, QUEUE])

    def sweep(self) -> None:
        """Until nothing is due."""
        while self.ledger.sweep("machine").looked:
            pass
        self.ledger.release("machine")

    def next_message(self) -> str | None:
        return self.client.lindex(QUEUE, -1)

    def put(self, message: str) -> None:
        self.client.lpush(QUEUE, message)

    def holds(self, calls: list[str]) -> dict[str, str]:
        """Of each: `settled` or `dead` when it has ended, `lost` when nobody will look after it, or its entry's state;
        nothing of those that Redis does not know.
        """
        pipe = self.client.pipeline()
        for call in calls:
            pipe.hget(f"dispatch:ledger:{call}", "state")
            pipe.exists(f"dispatch:dead:{call}")
            pipe.zscore("dispatch:due", call)
        said = pipe.execute()
        found = {}
        for call, state, letter, due in zip(calls, said[::3], said[1::3], said[2::3], strict=True):
            if letter:
                found[call] = "dead"
            elif state is not None:
                found[call] = state if state == "settled" or due is not None else "lost"
        return found

    def close(self) -> None:
        self.client.close()
