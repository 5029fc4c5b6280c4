-- id, attempt, before, after -> 'entered' | 'known': a call with this id is under way | 'absent': no such letter.
--
-- The first write may be refused for want of memory; then the letter is as it was.

local id, now = ARGV[1], clock()
local key, letter = entry_of(id), letter_of(id)
local state = redis.call('HGET', key, 'state')
if state and state ~= 'settled' then
  return 'known'
end
local facts = redis.call('HMGET', letter, 'list', 'lease', 'bytes')
if not facts[1] then
  return 'absent'
end
redis.call('HSET', letter, 'before', ARGV[3], 'after', ARGV[4], 'attempt', ARGV[2], 'state', 'queued', 'stamp', now)
redis.call('HDEL', letter, 'reason', 'error', 'traceback', 'trace', 'at', 'bytes', 'deliveries')
redis.call('RENAME', letter, key)
redis.call('ZREM', dead, id)
redis.call('HINCRBY', tally, 'bytes', 0 - facts[3])
redis.call('ZADD', due, now + facts[2], id)
push(key, facts[1], now)
return 'entered'
