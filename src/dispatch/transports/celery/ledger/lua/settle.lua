-- id, owner, outcome -> 1, or 0 when the entry is no longer that owner's. Said twice, it is the same.

whatever_the_memory()
local entry = redis.call('HMGET', entry_of(ARGV[1]), 'state', 'owner', 'remember')
if entry[2] ~= ARGV[2] then
  return 0
end
if entry[1] ~= 'settled' then
  settle(ARGV[1], ARGV[3], ARGV[2], entry[3])
end
return 1
