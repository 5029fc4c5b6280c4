-- id, owner -> 1 when the lease of that owner ends now; 0 when the entry is no longer its.

whatever_the_memory()
local key, now = entry_of(ARGV[1]), clock()
local entry = redis.call('HMGET', key, 'state', 'owner')
if entry[1] ~= 'running' or entry[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', key, 'until', now)
redis.call('ZADD', due, now, ARGV[1])
return 1
