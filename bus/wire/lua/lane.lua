-- Functions for lanes: requests with one key run one at a time, in the order in which
-- they were accepted. This file is not a script: scripts that use lanes begin with
-- account.lua and this file.
--
-- A lane is a list. Its head is the id of the request that is in the mailbox. The
-- other elements are the waiting requests, each its flat fields as one JSON array. An
-- idle lane has no key. The hash "parked" counts the waiting requests by lane, and in
-- the field "" those of all lanes.
--
-- Requests without a deadline that have no lane wait in one list for each principal,
-- "~<principal>", until one of its slots is idle. A slot, "~<principal>.<n>", is a lane; a request
-- that ends its turn there lets the first request of the list follow.
local waiting_counts = ns .. ':' .. service .. ':parked'

local function lane_key(lane) return ns .. ':' .. service .. ':lane:' .. lane end
local function record_key(id) return ns .. ':' .. service .. ':req:' .. id end

-- Adds a request at the end of a lane and returns the lane's length. The first request
-- goes on to the mailbox, any other must be parked or withdrawn.
local function enter(lane, id) return redis.call('RPUSH', lane_key(lane), id) end
local function withdraw(lane) redis.call('RPOP', lane_key(lane)) end

local function count(lane, by)
  for _, of in ipairs({lane, ''}) do
    if redis.call('HINCRBY', waiting_counts, of, by) <= 0 then redis.call('HDEL', waiting_counts, of) end
  end
end

-- Lets the request that entered last wait with these fields. Returns the name of this
-- run of its id in replies, since it has no entry yet.
local function wait_in_lane(lane, fields)
  fields[#fields + 1] = 'accepted'
  fields[#fields + 1] = string.format('%.0f', now_ms())
  redis.call('LSET', lane_key(lane), -1, cjson.encode(fields))
  count(lane, 1)
  return string.format('p%.0f', now_us())
end

-- Returns the list from which requests follow to a slot, or nil for any other lane.
local function list_of(lane)
  local line = lane:match('^(~%x+)%.%d+$')
  return line, line and lane_key(line)
end

-- Ends the turn of a request: the next request of its lane goes to the mailbox. Expired
-- requests end here, up to a limit; a worker ends the others.
local max_expired = 100

local function release(lane, id)
  local list = lane_key(lane)
  local two = redis.call('LPOP', list, 2)
  if not two then return end
  if two[1] ~= id then -- another request has the turn: this one did not use the lane
    if two[2] then redis.call('LPUSH', list, two[2]) end
    redis.call('LPUSH', list, two[1])
    return
  end
  local line, line_key = list_of(lane)
  local from, waiting, expired = lane, two[2], 0
  local function following()
    from, waiting = lane, redis.call('LPOP', list)
    if not waiting and line then from, waiting = line, redis.call('LPOP', line_key) end
  end
  if not waiting then following() end
  while waiting do
    count(from, -1)
    local fields, at, own, store = cjson.decode(waiting), nil, '', ''
    for f = 1, #fields, 2 do
      local name = fields[f]
      if name == 'id' then own = fields[f + 1] elseif name == 'store' then store = fields[f + 1] elseif name == 'deadline' then at = f + 1 end
      if name == 'lane' then fields[f + 1] = lane end
    end
    local record = record_key(own)
    local state, deadline, charged, principal = unpack(redis.call('HMGET', record, 'state', 'until', 'charged', 'principal'))
    if deadline and at then fields[at] = deadline end -- a caller that joined may wait longer
    deadline = at and fields[at] or ''
    if state == 'queued' and deadline ~= '' and tonumber(deadline) <= now_ms() and expired < max_expired then
      redis.call('HSET', record, 'state', 'expired')
      redis.call('PEXPIRE', record, store)
      recharge(principal, charged, 0, store)
      expired = expired + 1
      following()
    else
      local entry = redis.call('XADD', KEYS[1], '*', unpack(fields))
      if state then
        redis.call('HSET', record, 'entry', entry, 'lane', lane)
        redis.call('HDEL', record, 'until')
      end
      redis.call('LPUSH', list, own)
      return
    end
  end
end

-- Removes a waiting request from its lane. Returns false if it no longer waits.
local function leave(lane, id)
  local list, from, page = lane_key(lane), 1, 500
  if lane:match('^~%x+$') then from = 0 end -- it has no turn
  while true do
    local some = redis.call('LRANGE', list, from, from + page - 1)
    for _, waiting in ipairs(some) do
      -- most elements without the id need no decoding
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

