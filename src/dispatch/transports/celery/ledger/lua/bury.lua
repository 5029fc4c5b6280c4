-- id, owner, most, most_bytes, error, traceback, trace -> letters gone, or -1 when the entry is no longer that
-- owner's. Said twice, it is the same.

whatever_the_memory()
local entry = redis.call('HMGET', entry_of(ARGV[1]), 'state', 'owner')
if entry[2] ~= ARGV[2] then
  return -1
end
if entry[1] == 'settled' then
  return 0
end
local words = {'reason', 'failed', 'error', ARGV[5], 'traceback', ARGV[6], 'trace', ARGV[7]}
return bury(ARGV[1], clock(), 'failed', ARGV[2], words, tonumber(ARGV[3]), tonumber(ARGV[4]))
