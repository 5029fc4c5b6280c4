-- id, attempt, reason -> 'ended' when that ended the call; 'elsewhere' when it runs, has ended, or is at a later
-- attempt; 'unknown' when it was never here, or is forgotten.

whatever_the_memory()
local entry = redis.call('HMGET', entry_of(ARGV[1]), 'state', 'attempt', 'until', 'remember')
if not entry[1] then
  return 'unknown'
end
local running = entry[1] == 'running' and tonumber(entry[3]) > clock()
if entry[1] == 'settled' or running or tonumber(ARGV[2]) < tonumber(entry[2]) then
  return 'elsewhere'
end
settle(ARGV[1], ARGV[3], '', entry[4])
return 'ended'
