-- id, list, before, after, task, lease, remember, limit, attempt, durability, delay
-- -> 'entered', or state and outcome of the entry that was there before.
--
-- Without the shared words, since this one is paid for by each publish. The first write may be refused, for want of
-- memory or because the list is none, and then nothing was written; once it is done, the others are done too.

local id, list, before, after = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = KEYS[1] .. 'ledger:' .. id
local known = redis.call('HMGET', key, 'state', 'outcome')
if known[1] then
  return {known[1], known[2] or ''}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local delay = tonumber(ARGV[11])
-- An ephemeral call is pushed by the sweep alone, which forgets it in the same step: at most once.
local waits = delay > 0 or ARGV[10] == 'ephemeral'
if not waits then
  redis.call('LPUSH', list, before .. string.format('%013.0f', now) .. after)
end
redis.call('HSET', key, 'state', waits and 'waiting' or 'queued', 'list', list, 'before', before, 'after', after,
  'task', ARGV[5], 'lease', ARGV[6], 'remember', ARGV[7], 'limit', ARGV[8], 'attempt', ARGV[9],
  'durability', ARGV[10], 'stamp', now)
redis.call('ZADD', KEYS[1] .. 'due', now + (waits and delay or ARGV[6]), id)
return {'entered', ''}
