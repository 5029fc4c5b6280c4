-- id, attempt, reason -> 1 when that ended the call; 0 when it runs, has ended, or is at a later attempt.

whatever_the_memory()
local entry = redis.call('HMGET', entry_of(ARGV[1]), 'state', 'attempt', 'until', 'remember')
local running = entry[1] == 'running' and tonumber(entry[3]) > clock()
if not entry[1] or entry[1] == 'settled' or running or tonumber(ARGV[2]) < tonumber(entry[2]) then
  return 0
end
settle(ARGV[1], ARGV[3], '', entry[4])
return 1
