-- Puts requests that keep their outcome into a mailbox, each once.
-- Sending an id again is always safe: it joins what is under way, or gets the
-- outcome that there is.
--
-- KEYS[1]   the mailbox      KEYS[2..]  the record of each request
-- ARGV      eleven for each request: id action args reply deadline meta store
--           lane fingerprint principal limit, where limit is how many entries
--           the mailbox may hold for this one to be added
-- Returns two values for each request, and the mailbox's length at the end:
--   queued <entry> | done <outcome> | dead "" | reused "" | full ""
local mailbox, call = KEYS[1], redis.call
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

-- r is the record that there was: of a request that never ran, whose watchers
-- go on watching
local function add(record, a, r)
  if length >= tonumber(ARGV[a + 10]) then return say('full', '') end
  local lane, entry = ARGV[a + 7], nil
  if lane == '' then
    entry = call('XADD', mailbox, '*', 'v', '1', 'id', ARGV[a], 'action', ARGV[a + 1], 'args', ARGV[a + 2],
      'reply', ARGV[a + 3], 'deadline', ARGV[a + 4], 'meta', ARGV[a + 5], 'store', ARGV[a + 6])
  else
    entry = call('XADD', mailbox, '*', 'v', '1', 'id', ARGV[a], 'action', ARGV[a + 1], 'args', ARGV[a + 2],
      'reply', ARGV[a + 3], 'deadline', ARGV[a + 4], 'meta', ARGV[a + 5], 'store', ARGV[a + 6], 'lane', lane)
  end
  length = length + 1
  if r then call('DEL', record) end
  call('HSET', record, 'state', 'queued', 'entry', entry, 'fingerprint', ARGV[a + 8],
    'principal', ARGV[a + 9], 'action', ARGV[a + 1], 'channels', r and both(ARGV[a + 3], r[4] or '') or ARGV[a + 3])
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
  if until_ ~= '' and (mine == '' or tonumber(mine) > tonumber(until_)) then call('HSET', record, 'until', mine) end
  say('queued', r[3])
end

for i = 2, #KEYS do
  local record, a = KEYS[i], 1 + (i - 2) * 11
  local state = call('HGET', record, 'state')
  local r = state and call('HMGET', record, 'state', 'fingerprint', 'entry', 'channels', 'outcome', 'until')
  if not state or state == 'expired' or state == 'cancelled' then
    add(record, a, r)
  elseif r[2] ~= ARGV[a + 8] then
    say('reused', '')
  elseif state == 'done' then
    say('done', r[5] or '')
  elseif state == 'dead' then
    say('dead', '')
  else
    local found = call('XRANGE', mailbox, r[3], r[3])
    if #found == 0 then
      add(record, a, r) -- somebody removed the entry by hand: nothing would ever run
    else
      join(record, r, found[1][2], a)
    end
  end
end
answer[#answer + 1] = length
return answer
