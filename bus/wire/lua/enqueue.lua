-- Adds requests that keep their outcome to a mailbox, each once. Sending an id again
-- is always safe: it joins the request in progress or returns the stored outcome.
--
-- KEYS[1]   the mailbox      KEYS[2..]  the record of each request
-- ARGV[1]   the most requests that may wait in one lane
-- ARGV[2]   the most requests that may wait in all lanes of the service
-- ARGV[3]   the most bytes that may be stored here; 0: no limit
-- ARGV[4]   the most bytes of one principal, if others store too
-- ARGV[5]   the most bytes of one principal, if no other stores
-- ARGV[6..] twelve values for each request: id action args reply deadline meta store
--           lane fingerprint principal limit internal; limit is the length of the
--           mailbox from which the request is refused; internal is 1 for a request that
--           another request makes, else ""
-- Returns two values for each request, and the length of the mailbox at the end:
--   queued <run> | done <outcome> | dead "" | reused "" | full "" | lane <waiting>
--   | stored <ms>: the principal has used up its bytes, some are free after that time
-- run names this run of the id in replies: its entry, or the value of wait_in_lane
local KEYS, ARGV = KEYS, ARGV
local mailbox, call = KEYS[1], redis.call
local max_in_lane, max_in_all_lanes = tonumber(ARGV[1]), tonumber(ARGV[2])
local max_outcome = 4259840 -- 4 MiB and the meta of a reply
local max_stored, max_of_one, max_alone = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local length = call('XLEN', mailbox)
local answer = {}

local function say(state, value)
  answer[#answer + 1] = state
  answer[#answer + 1] = value
end

-- Returns the union of two lists of channels.
local function both(channels, more)
  for channel in more:gmatch('%S+') do
    if not (' ' .. channels .. ' '):find(' ' .. channel .. ' ', 1, true) then
      channels = channels == '' and channel or channels .. ' ' .. channel
    end
  end
  return channels
end

-- Reports whether the request that has the turn was removed from the mailbox by hand,
-- so that no worker would end the turn.
local function lost(head)
  local entry = call('HGET', record_key(head), 'entry')
  local ms = entry and tonumber(entry:match('^%d+'))
  if not ms or now_ms() - ms < 5000 then return false end
  return #call('XRANGE', mailbox, entry, entry) == 0
end

-- Reports whether a principal may store so many bytes more.
local function may_store(principal, bytes)
  if max_stored == 0 then return true end
  local of_one, of_all = stored(account_key(principal)) + bytes, stored(all_accounts) + bytes
  if of_one <= max_of_one then return of_all <= max_stored end
  return of_one >= of_all and of_one <= max_alone
end

-- The bytes that a request takes until it has ended.
local function size(a) return record_bytes + #ARGV[a + 2] + #ARGV[a + 5] end

-- The time for which a request is charged if no worker ends it, in ms. The outcomes of the
-- steps of a composition are kept long, but hardly ever so long.
local function charge_time(a)
  local kept = tonumber(ARGV[a + 6])
  if ARGV[a + 11] ~= '' then kept = math.min(kept, 600000) end
  local deadline = ARGV[a + 4]
  return kept + (deadline == '' and 86400000 or math.max(0, tonumber(deadline) - now_ms()))
end

-- Writes the record. r is the record of an earlier request that never ran: its
-- watchers keep watching.
local function write(record, a, r, entry)
  if r then call('DEL', record) end
  call('HSET', record, 'state', 'queued', 'entry', entry, 'fingerprint', ARGV[a + 8],
    'principal', ARGV[a + 9], 'action', ARGV[a + 1], 'channels', r and both(ARGV[a + 3], r[4] or '') or ARGV[a + 3])
  if ARGV[a + 11] ~= '' then call('HSET', record, 'internal', '1') end
  if max_stored == 0 then return end
  local bytes = size(a)
  local time = charge(ARGV[a + 9], bytes, charge_time(a))
  if bytes > record_bytes + small_bytes then call('HSET', record, 'charged', charged_field(time, bytes)) end
end

local function send(a)
  length = length + 1
  return call('XADD', mailbox, '*', 'v', '1', 'id', ARGV[a], 'action', ARGV[a + 1], 'args', ARGV[a + 2],
    'reply', ARGV[a + 3], 'deadline', ARGV[a + 4], 'meta', ARGV[a + 5], 'store', ARGV[a + 6])
end

-- Adds a request with a lane.
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
  if there - 2 >= max_in_lane then
    withdraw(lane)
    return say('lane', there - 2)
  end
  if tonumber(call('HGET', waiting_counts, '') or 0) >= max_in_all_lanes then
    withdraw(lane)
    return say('full', '')
  end
  local run = wait_in_lane(lane, fields)
  write(record, a, r, '')
  call('HSET', record, 'lane', lane, 'run', run, 'until', ARGV[a + 4])
  local head = call('LINDEX', lane_key(lane), 0)
  if lost(head) then release(lane, head) end
  say('queued', run)
end

-- Returns an idle slot of a principal, or nil. It frees a slot whose entry was removed by hand.
local function idle_slot(line, width)
  local first = now_us()
  for k = 1, math.min(width, 64) do
    local slot = line .. '.' .. string.format('%.0f', (first + k) % width)
    local head = call('LINDEX', lane_key(slot), 0)
    if head and k == 1 and lost(head) then release(slot, head) end
    if not head then return slot end
  end
end

-- Adds a request without a deadline and a lane. Of such requests only width of a principal are in
-- the mailbox at once. A quarter of the room is for those that wait, or all if no other waits.
local function add_background(record, a, r, line, width)
  local id, slot = ARGV[a], idle_slot(line, width)
  local fields = {'v', '1', 'id', id, 'action', ARGV[a + 1], 'args', ARGV[a + 2], 'reply', ARGV[a + 3],
    'deadline', ARGV[a + 4], 'meta', ARGV[a + 5], 'store', ARGV[a + 6], 'lane', slot or line}
  if slot then
    call('RPUSH', lane_key(slot), id)
    length = length + 1
    local entry = call('XADD', mailbox, '*', unpack(fields))
    write(record, a, r, entry)
    call('HSET', record, 'lane', slot)
    return say('queued', entry)
  end
  local waiting, total = tonumber(call('HGET', waiting_counts, line) or 0), tonumber(call('HGET', waiting_counts, '') or 0)
  if total > waiting and waiting >= max_in_all_lanes / 4 then return say('lane', waiting) end
  if total >= max_in_all_lanes then return say('full', '') end
  call('RPUSH', lane_key(line), id)
  local run = wait_in_lane(line, fields)
  write(record, a, r, '')
  call('HSET', record, 'lane', line, 'run', run, 'until', ARGV[a + 4])
  say('queued', run)
end

-- The entry of r, if it had one, was removed by hand.
local function add(record, a, r)
  if r and r[1] == 'queued' and r[9] then refund(r[10] or '', r[9]) end
  if length >= tonumber(ARGV[a + 10]) then return say('full', '') end
  if not may_store(ARGV[a + 9], size(a)) then return say('stored', string.format('%.0f', until_less(account_key(ARGV[a + 9])))) end
  local line, width = ARGV[a + 7]:match('^(~%x+)%*(%d+)$')
  if line then return add_background(record, a, r, line, tonumber(width)) end
  if ARGV[a + 7] ~= '' then return add_laned(record, a, r) end
  local entry = send(a)
  write(record, a, r, entry)
  say('queued', entry)
end

-- Returns the outcome of a record. The service wrote it, so it may be of any size.
local function outcome(record, body)
  local size = body and call('STRLEN', record .. ':body') or 0
  if size == 0 then
    size = call('HSTRLEN', record, 'outcome')
    body = nil
  end
  if size > max_outcome then
    return '- {"ok":false,"error":{"code":"INTERNAL","message":"the service\'s answer is too large","status":500}}'
  end
  return body and call('GET', record .. ':body') or call('HGET', record, 'outcome') or ''
end

-- Adds a channel to those that get the outcome. If the joining caller waits longer
-- than the entry allows, its deadline counts (see settle.lua).
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
  local record, a = KEYS[i], 6 + (i - 2) * 12
  local state = call('HGET', record, 'state')
  local r = state and call('HMGET', record, 'state', 'fingerprint', 'entry', 'channels', 'body', 'until', 'run', 'lane', 'charged', 'principal')
  if not state or state == 'expired' or state == 'cancelled' then
    add(record, a, r)
  elseif r[2] ~= ARGV[a + 8] then
    say('reused', '')
  elseif state == 'done' then
    say('done', outcome(record, r[5]))
  elseif state == 'dead' then
    say('dead', '')
  elseif r[3] == '' then
    if call('EXISTS', lane_key(r[8] or '')) == 0 then
      add(record, a, r) -- the lane was removed by hand: the request would never run
    else
      join(record, r, {}, a)
    end
  else
    local found = call('XRANGE', mailbox, r[3], r[3])
    if #found == 0 then -- the entry was removed by hand
      if r[8] then release(r[8], ARGV[a]) end
      add(record, a, r)
    else
      join(record, r, found[1][2], a)
    end
  end
end
write_accounts()
answer[#answer + 1] = length
return answer
