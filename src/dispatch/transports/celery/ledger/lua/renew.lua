-- id, owner, id, owner … -> for each pair 1, or 0 when the entry is no longer that owner's.
--
-- A lease that ran out is taken again as long as nobody else has claimed: the message that the sweep put into the
-- queue meanwhile will find the entry running.

whatever_the_memory()
local now, answers = clock(), {}
for i = 1, #ARGV, 2 do
  local key = entry_of(ARGV[i])
  local entry = redis.call('HMGET', key, 'state', 'owner', 'lease')
  local mine = entry[2] == ARGV[i + 1] and (entry[1] == 'running' or entry[1] == 'queued')
  if mine then
    redis.call('HSET', key, 'state', 'running', 'until', now + entry[3])
    redis.call('ZADD', due, now + entry[3], ARGV[i])
  end
  answers[#answers + 1] = mine and 1 or 0
end
return answers
