-- id, owner, attempt, delay, list, before, after -> 1, or 0 when the entry is no longer that owner's.
--
-- Said twice, it is the same: the entry remembers who let it go.

whatever_the_memory()
local id, owner, delay, list = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[5]
local key, now = entry_of(id), clock()
local entry = redis.call('HMGET', key, 'state', 'owner', 'released', 'lease')
if entry[3] == owner then
  return 1
end
if entry[1] == 'settled' or entry[2] ~= owner then
  return 0
end
redis.call('HDEL', key, 'owner', 'until', 'deliveries', 'pause', 'pushes')
redis.call('HSET', key, 'state', delay > 0 and 'waiting' or 'queued', 'released', owner, 'attempt', ARGV[3],
  'list', list, 'before', ARGV[6], 'after', ARGV[7], 'stamp', now)
if delay > 0 then
  redis.call('ZADD', due, now + delay, id)
else
  redis.call('ZADD', due, now + entry[4], id)
  push(key, list, now)
end
return 1
