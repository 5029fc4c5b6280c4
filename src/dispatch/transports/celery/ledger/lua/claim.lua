-- id, attempt, owner, most, most_bytes, and for an entry that has to be made: list, before, after, task, lease,
-- remember, limit -> 'claimed', lease, deliveries | 'settled', outcome | 'running' | 'older' | 'early'
-- | 'dead', letters gone | 'absent': say it again, with what makes an entry.
--
-- Said twice by the same owner, it is one delivery.

local id, attempt, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key, now = entry_of(id), clock()
local entry = redis.call('HMGET', key,
  'state', 'attempt', 'owner', 'until', 'lease', 'deliveries', 'limit', 'outcome')
local state, current = entry[1], tonumber(entry[2] or 0)
local lease, deliveries, limit = tonumber(entry[5]), tonumber(entry[6] or 0), tonumber(entry[7])

if state == 'settled' then
  return {'settled', entry[8]}
end
if state and attempt < current then
  return {'older'}
end
if state == 'waiting' then
  return {'early'}
end
if state == 'running' and tonumber(entry[4]) > now then
  if entry[3] == owner then
    return {'claimed', lease, deliveries}
  end
  return {'running'}
end
whatever_the_memory()
if not state or attempt > current then
  if #ARGV < 12 then
    return {'absent'}
  end
  lease, deliveries, limit = tonumber(ARGV[10]), 0, tonumber(ARGV[12])
  redis.call('UNLINK', key)
  redis.call('HSET', key, 'list', ARGV[6], 'before', ARGV[7], 'after', ARGV[8], 'task', ARGV[9], 'lease', lease,
    'remember', ARGV[11], 'limit', limit, 'attempt', attempt, 'durability', 'durable', 'stamp', now)
end
if deliveries + 1 > limit then
  local told = 'claimed ' .. deliveries .. ' times, and no worker came to its end'
  local words = {'reason', 'max_deliveries', 'error', told}
  return {'dead', bury(id, now, 'dead', owner, words, tonumber(ARGV[4]), tonumber(ARGV[5]))}
end
deliveries = deliveries + 1
redis.call('HSET', key, 'state', 'running', 'owner', owner, 'until', now + lease, 'deliveries', deliveries)
redis.call('ZADD', due, now + lease, id)
return {'claimed', lease, deliveries}
