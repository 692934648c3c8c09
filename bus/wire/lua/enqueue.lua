-- Puts requests that keep their outcome into a mailbox, each once.
-- Sending an id again is always safe: it joins what is under way, or gets the
-- outcome that there is.
--
-- KEYS[1]   the mailbox      KEYS[2..]  the record of each request
-- ARGV[1]   how many requests may wait in one lane
-- ARGV[2]   how many may wait in all lanes of the service
-- ARGV[3..] eleven for each request: id action args reply deadline meta store
--           lane fingerprint principal limit, where limit is how many entries
--           the mailbox may hold for this one to be added
-- Returns two values for each request, and the mailbox's length at the end:
--   queued <run> | done <outcome> | dead "" | reused "" | full "" | lane <waiting>
-- where run is what replies name this run of the id by: its entry, or, where it
-- waits in a lane, what that gave it
local KEYS, ARGV = KEYS, ARGV
local mailbox, call = KEYS[1], redis.call
local most_waiting, most_parked = tonumber(ARGV[1]), tonumber(ARGV[2])
local length = call('XLEN', mailbox)
local answer = {}

local function say(state, value)
  answer[#answer + 1] = state
  answer[#answer + 1] = value
end

-- joins two lists of channels
local function both(channels, more)
  for channel in more:gmatch('%S+') do
    if not (' ' .. channels .. ' '):find(' ' .. channel .. ' ', 1, true) then
      channels = channels == '' and channel or channels .. ' ' .. channel
    end
  end
  return channels
end

-- reports that the one whose turn it is has left the mailbox by somebody's hand:
-- nobody would end its turn
local function lost(head)
  local entry = call('HGET', record_key(head), 'entry')
  local ms = entry and tonumber(entry:match('^%d+'))
  if not ms or now_ms() - ms < 5000 then return false end
  return #call('XRANGE', mailbox, entry, entry) == 0
end

-- r is the record that there was: of a request that never ran, whose watchers
-- go on watching
local function write(record, a, r, entry)
  if r then call('DEL', record) end
  call('HSET', record, 'state', 'queued', 'entry', entry, 'fingerprint', ARGV[a + 8],
    'principal', ARGV[a + 9], 'action', ARGV[a + 1], 'channels', r and both(ARGV[a + 3], r[4] or '') or ARGV[a + 3])
end

local function send(a)
  length = length + 1
  return call('XADD', mailbox, '*', 'v', '1', 'id', ARGV[a], 'action', ARGV[a + 1], 'args', ARGV[a + 2],
    'reply', ARGV[a + 3], 'deadline', ARGV[a + 4], 'meta', ARGV[a + 5], 'store', ARGV[a + 6])
end

-- one that has to wait for its turn
local function add_laned(record, a, r)
  local id, lane = ARGV[a], ARGV[a + 7]
  local fields = {'v', '1', 'id', id, 'action', ARGV[a + 1], 'args', ARGV[a + 2], 'reply', ARGV[a + 3],
    'deadline', ARGV[a + 4], 'meta', ARGV[a + 5], 'store', ARGV[a + 6], 'lane', lane}
  local there = enter(lane, id)
  if there == 1 then
    length = length + 1
    local entry = call('XADD', mailbox, '*', unpack(fields))
    write(record, a, r, entry)
    call('HSET', record, 'lane', lane)
    return say('queued', entry)
  end
  if there - 2 >= most_waiting then
    withdraw(lane)
    return say('lane', there - 2)
  end
  if tonumber(call('HGET', parked, '') or 0) >= most_parked then
    withdraw(lane)
    return say('full', '')
  end
  local run = park(lane, fields)
  write(record, a, r, '')
  call('HSET', record, 'lane', lane, 'run', run, 'until', ARGV[a + 4])
  local head = call('LINDEX', lane_key(lane), 0)
  if lost(head) then release(lane, head) end
  say('queued', run)
end

local function add(record, a, r)
  if length >= tonumber(ARGV[a + 10]) then return say('full', '') end
  if ARGV[a + 7] ~= '' then return add_laned(record, a, r) end
  local entry = send(a)
  write(record, a, r, entry)
  say('queued', entry)
end

-- adds a channel to those that get the outcome. Who joins may wait longer than
-- the entry says, or for ever: then that counts (see settle.lua).
local function join(record, r, fields, a)
  local channels, more = r[4] or '', both(r[4] or '', ARGV[a + 3])
  if more ~= channels then call('HSET', record, 'channels', more) end
  local until_ = r[6]
  for f = 1, #fields, 2 do
    if fields[f] == 'deadline' then until_ = until_ or fields[f + 1] end
  end
  local mine = ARGV[a + 4]
  if until_ and until_ ~= '' and (mine == '' or tonumber(mine) > tonumber(until_)) then call('HSET', record, 'until', mine) end
  say('queued', r[7] or r[3])
end

for i = 2, #KEYS do
  local record, a = KEYS[i], 3 + (i - 2) * 11
  local state = call('HGET', record, 'state')
  local r = state and call('HMGET', record, 'state', 'fingerprint', 'entry', 'channels', 'outcome', 'until', 'run', 'lane')
  if not state or state == 'expired' or state == 'cancelled' then
    add(record, a, r)
  elseif r[2] ~= ARGV[a + 8] then
    say('reused', '')
  elseif state == 'done' then
    say('done', r[5] or '')
  elseif state == 'dead' then
    say('dead', '')
  elseif r[3] == '' then
    if call('EXISTS', lane_key(r[8] or '')) == 0 then
      add(record, a, r) -- somebody removed the lane by hand: nothing would ever run
    else
      join(record, r, {}, a)
    end
  else
    local found = call('XRANGE', mailbox, r[3], r[3])
    if #found == 0 then -- the same, of the entry
      if r[8] then release(r[8], ARGV[a]) end
      add(record, a, r)
    else
      join(record, r, found[1][2], a)
    end
  end
end
answer[#answer + 1] = length
return answer
