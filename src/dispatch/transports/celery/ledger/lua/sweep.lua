-- owner, lock, limit, most_pushed, most, most_bytes
-- -> 1, milliseconds until something is due or -1, looked, pushed, kept, buried, forgotten, stuck, letters gone,
--    the ids of those buried
-- | 0, milliseconds until another sweeper's lock ends.
--
-- A step is bounded by the entries it looks at and by the bytes it pushes: a script holds up everybody else.

local MOST_PAUSE = 3600000
local MOST_PUSHES = 100
local DEPTH = 4 -- how far to look past messages without a stamp, which others put into the queue
local PATIENCE = 8 -- and after how many pauses to give up on such a queue
local MARK = '"dispatch-stamp": "'

local lock = root .. 'sweeper'
local holder = redis.call('GET', lock)
if holder and holder ~= ARGV[1] then
  return {0, redis.call('PTTL', lock)}
end
whatever_the_memory()
redis.call('SET', lock, ARGV[1], 'PX', ARGV[2])

local now = clock()
local pushed, kept, buried, forgotten, stuck, gone = 0, 0, 0, 0, 0, 0
local bytes, most_pushed = 0, tonumber(ARGV[4])
local letters = {}

-- What the queue's next message says: its stamp; 'none' when nothing of ours can be in it; 'unsaid'. Looked up once
-- for each list and step, since a message may be large; what this step pushes is younger than all that it looks at.
local tails = {}
local function tail(list)
  if tails[list] then
    return tails[list]
  end
  local found = 'unsaid'
  for depth = 1, DEPTH do
    local text = redis.pcall('LINDEX', list, -depth)
    if not text then
      found = 'none'
      break
    end
    if type(text) == 'table' then
      break
    end
    local _, last = string.find(text, MARK, 1, true)
    local stamp = last and tonumber(string.sub(text, last + 1, last + 13))
    if stamp then
      found = stamp
      break
    end
  end
  tails[list] = found
  return found
end

-- Lists are first in, first out, and stamps are given on the way in: behind a younger message there is no older one.
local function may_be_held(list, stamp, pause)
  local found = tail(list)
  if found == 'unsaid' then
    return now - stamp <= PATIENCE * pause
  end
  return found ~= 'none' and found <= stamp
end

local function look_later(id, pause)
  redis.call('ZADD', due, now + pause, id)
end

local function publish(id, key, entry)
  local problem, length = push(key, entry.list, now)
  if problem then
    stuck = stuck + 1
    look_later(id, entry.pause)
    return false
  end
  pushed, bytes = pushed + 1, bytes + length
  return true
end

local function start(id, key, entry)
  if not publish(id, key, entry) then
    return
  end
  if entry.durability == 'ephemeral' then
    redis.call('UNLINK', key)
    redis.call('ZREM', due, id)
  else
    redis.call('HSET', key, 'state', 'queued', 'stamp', now)
    look_later(id, entry.pause)
  end
end

local function publish_again(id, key, entry)
  if entry.pushes >= MOST_PUSHES then
    local told = 'published again ' .. MOST_PUSHES .. ' times, and never settled'
    local words = {'reason', 'unclaimed', 'error', told}
    gone = gone + bury(id, now, 'dead', '', words, tonumber(ARGV[5]), tonumber(ARGV[6]))
    buried = buried + 1
    letters[buried] = id
  elseif publish(id, key, entry) then
    local pause = math.max(entry.lease, math.min(2 * entry.pause, MOST_PAUSE))
    -- The owner stays: late, and not dead, it may still settle or renew until somebody else claims.
    redis.call('HSET', key, 'state', 'queued', 'stamp', now, 'pause', pause, 'pushes', entry.pushes + 1)
    look_later(id, pause)
  end
end

-- The entry, or nothing when it is gone or no entry of ours.
local function read(key)
  local f = redis.pcall('HMGET', key,
    'state', 'list', 'lease', 'stamp', 'pause', 'pushes', 'until', 'durability', 'remember')
  local whole = not f.err and f[2] and tonumber(f[3]) and tonumber(f[4]) and tonumber(f[9])
    and redis.call('HEXISTS', key, 'before') + redis.call('HEXISTS', key, 'after') == 2
  return whole and {
    state = f[1], list = f[2], lease = tonumber(f[3]), stamp = tonumber(f[4]), pause = tonumber(f[5] or f[3]),
    pushes = tonumber(f[6] or 0), ends = tonumber(f[7] or 0), durability = f[8],
  }
end

local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[3])
local looked = 0
for _, id in ipairs(ids) do
  if bytes > most_pushed then
    break
  end
  looked = looked + 1
  local key = entry_of(id)
  local entry = read(key)
  local state = entry and entry.state
  if state == 'waiting' then
    start(id, key, entry)
  elseif state == 'running' and entry.ends > now then
    -- Somebody changed the day by hand, and the lease is what counts.
    look_later(id, entry.ends - now)
  elseif state == 'queued' and may_be_held(entry.list, entry.stamp, entry.pause) then
    kept = kept + 1
    -- The longer it has waited, the less often it is looked at: a long queue must not keep the server busy.
    look_later(id, math.max(entry.pause, math.min((now - entry.stamp) / 2, MOST_PAUSE)))
  elseif state == 'queued' or state == 'running' then
    publish_again(id, key, entry)
  else
    forgotten = forgotten + 1
    redis.call('ZREM', due, id)
  end
end

local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
local pause = first and math.max(0, math.ceil(first - now)) or -1
return {1, pause, looked, pushed, kept, buried, forgotten, stuck, gone, letters}
