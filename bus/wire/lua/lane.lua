-- Lanes: the requests of one key run one at a time, in the order they were
-- accepted. This is not a script by itself; those that need it have it before
-- their own text.
--
-- A lane is a list. Its head is the id of the one request that is in the mailbox;
-- behind it wait the others, each its flat fields as one JSON array. An idle lane
-- has no key. The hash "parked" counts those who wait, by lane, and below "" all.
--
-- KEYS[1]   the mailbox: all keys here carry its hash tag, and lie on its slot
local ns, service = KEYS[1]:match('^(.*):({[^}]*}):requests$')
local parked = ns .. ':' .. service .. ':parked'

local function lane_key(lane) return ns .. ':' .. service .. ':lane:' .. lane end
local function record_key(id) return ns .. ':' .. service .. ':req:' .. id end

local clock
local function now_us()
  if not clock then
    local t = redis.call('TIME')
    clock = tonumber(t[1]) * 1000000 + tonumber(t[2])
  end
  return clock
end
local function now_ms() return math.floor(now_us() / 1000) end

-- enters a lane at its end, and tells how many are in it then: the first may go
-- on to the mailbox, any other has to park or withdraw
local function enter(lane, id) return redis.call('RPUSH', lane_key(lane), id) end
local function withdraw(lane) redis.call('RPOP', lane_key(lane)) end

local function count(lane, by)
  for _, of in ipairs({lane, ''}) do
    if redis.call('HINCRBY', parked, of, by) <= 0 then redis.call('HDEL', parked, of) end
  end
end

-- has the request that entered last wait with these fields. Its replies will name
-- this run of its id by what park returns, since it has no entry yet.
local function park(lane, fields)
  fields[#fields + 1] = 'accepted'
  fields[#fields + 1] = string.format('%.0f', now_ms())
  redis.call('LSET', lane_key(lane), -1, cjson.encode(fields))
  count(lane, 1)
  return string.format('p%.0f', now_us())
end

-- Ends the turn of a request: the next in its lane goes to the mailbox. Those
-- whose time is up by then end here, so many at most: behind them a worker judges.
local most_expired = 100

local function release(lane, id)
  local list = lane_key(lane)
  local two = redis.call('LPOP', list, 2)
  if not two then return end
  if two[1] ~= id then -- it is another's turn: this request has not come by the lane
    if two[2] then redis.call('LPUSH', list, two[2]) end
    redis.call('LPUSH', list, two[1])
    return
  end
  local waiting, expired = two[2], 0
  while waiting do
    count(lane, -1)
    local fields, at, own, store = cjson.decode(waiting), nil, '', ''
    for f = 1, #fields, 2 do
      local name = fields[f]
      if name == 'id' then own = fields[f + 1] elseif name == 'store' then store = fields[f + 1] elseif name == 'deadline' then at = f + 1 end
    end
    local record = record_key(own)
    local state, deadline = unpack(redis.call('HMGET', record, 'state', 'until'))
    if deadline and at then fields[at] = deadline end -- who joined it may wait longer
    deadline = at and fields[at] or ''
    if state == 'queued' and deadline ~= '' and tonumber(deadline) <= now_ms() and expired < most_expired then
      redis.call('HSET', record, 'state', 'expired')
      redis.call('PEXPIRE', record, store)
      expired = expired + 1
      waiting = redis.call('LPOP', list)
    else
      local entry = redis.call('XADD', KEYS[1], '*', unpack(fields))
      if state then
        redis.call('HSET', record, 'entry', entry)
        redis.call('HDEL', record, 'until')
      end
      redis.call('LPUSH', list, own)
      return
    end
  end
end

-- takes a request that waits out of its lane; false: it waits there no longer
local function leave(lane, id)
  local list, from, page = lane_key(lane), 1, 500
  while true do
    local some = redis.call('LRANGE', list, from, from + page - 1)
    for _, waiting in ipairs(some) do
      -- its id is among the first fields: most need no decoding
      if waiting:find(id, 1, true) then
        local fields = cjson.decode(waiting)
        for f = 1, #fields, 2 do
          if fields[f] == 'id' and fields[f + 1] == id then
            redis.call('LREM', list, 1, waiting)
            count(lane, -1)
            return true
          end
        end
      end
    end
    if #some < page then return false end
    from = from + page
  end
end

