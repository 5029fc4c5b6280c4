-- Words that the scripts share; they stand before each script that uses them. KEYS[1] is the root of all keys, times
-- are the server's, in milliseconds. A script runs alone and to its end: what it reads stays true while it writes.

local root = KEYS[1]
local due = root .. 'due'
local dead = root .. 'dead'
local tally = root .. 'dead-tally'

local function entry_of(id)
  return root .. 'ledger:' .. id
end

local function letter_of(id)
  return root .. 'dead:' .. id
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Out of memory, Redis refuses a script's first write if that may need memory, and no later one. What ends calls or
-- moves them on gives memory back in the end, so it begins with a write that is never refused.
local function whatever_the_memory()
  redis.call('DEL', root .. 'nothing')
end

-- Puts the entry's message into its list, stamped anew. Answers with Redis's error or false, and with its length.
local function push(key, list, now)
  local halves = redis.call('HMGET', key, 'before', 'after')
  local text = halves[1] .. string.format('%013.0f', now) .. halves[2]
  local answer = redis.pcall('LPUSH', list, text)
  return type(answer) == 'table' and answer.err, #text
end

-- Shrinks the entry to its outcome, remembered for a while.
local function settle(id, outcome, owner, remember)
  local key = entry_of(id)
  redis.call('UNLINK', key)
  redis.call('HSET', key, 'state', 'settled', 'outcome', outcome, 'owner', owner)
  redis.call('PEXPIRE', key, remember)
  redis.call('ZREM', due, id)
end

local function forget_letter(id)
  local bytes = redis.call('HGET', letter_of(id), 'bytes') or 0
  redis.call('HINCRBY', tally, 'bytes', 0 - bytes) -- `-bytes` may be -0, which Redis takes for no integer
  redis.call('UNLINK', letter_of(id))
  return redis.call('ZREM', dead, id)
end

-- Makes a dead letter of the entry and settles it. `most` and `most_bytes` bound all letters together; the oldest go
-- first, and how many went is the answer. At most a hundred go at once, so that no other client waits for long.
local function bury(id, now, outcome, owner, words, most, most_bytes)
  local entry, letter = entry_of(id), letter_of(id)
  local remember = redis.call('HGET', entry, 'remember')
  forget_letter(id)
  redis.call('RENAME', entry, letter)
  redis.call('HDEL', letter, 'state', 'owner', 'until', 'pause', 'pushes', 'released')
  redis.call('HSET', letter, 'at', now, unpack(words))
  local bytes = redis.call('HSTRLEN', letter, 'before') + redis.call('HSTRLEN', letter, 'after')
  for _, word in ipairs(words) do
    bytes = bytes + #word
  end
  redis.call('HSET', letter, 'bytes', bytes)
  redis.call('HINCRBY', tally, 'bytes', bytes)
  redis.call('ZADD', dead, now, id)
  settle(id, outcome, owner, remember)
  local gone = 0
  while gone < 100 do
    local count = redis.call('ZCARD', dead)
    local held = tonumber(redis.call('HGET', tally, 'bytes'))
    if count <= 1 or (count <= most and held <= most_bytes) then
      break
    end
    forget_letter(redis.call('ZRANGE', dead, 0, 0)[1])
    gone = gone + 1
  end
  if gone > 0 then
    redis.call('HINCRBY', tally, 'gone', gone)
  end
  return gone
end
