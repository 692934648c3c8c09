-- Settles requests: stores the outcome, removes the entry, releases the next request of
-- the lane, and publishes the reply, in one step. It changes nothing for entries that the
-- worker does not own any more.
--
-- KEYS[1]   the mailbox      KEYS[2]  the dead letters
-- KEYS[3..] the record of each request
-- ARGV[1]   the worker
-- ARGV[2..] eight for each request: entry id state meta envelope store error
--           attempts. State is done, expired, cancelled or dead; store is in ms ("" stores
--           nothing); error and attempts are those of a dead letter
-- Returns 1 for each request that it settled, 0 for each that the worker does not own.
local KEYS, ARGV = KEYS, ARGV
local mailbox, dead, me = KEYS[1], KEYS[2], ARGV[1]
local large, keep_large, call = 65536, 300000, redis.call
local prefix, suffix = ns .. ':replies:', ':' .. service

-- Finds the entries that the worker owns. Other entries of the worker may lie between
-- them. The range covers the milliseconds of the entries.
local first, last, wanted, missing = nil, nil, {}, 0
for i = 3, #KEYS do
  local entry = ARGV[2 + (i - 3) * 8]
  if not wanted[entry] then
    wanted[entry] = true
    missing = missing + 1
    local ms = entry:match('^%d+')
    if not first or #ms < #first or (#ms == #first and ms < first) then first = ms end
    if not last or #ms > #last or (#ms == #last and ms > last) then last = ms end
  end
end
local mine, from, page = {}, first, missing + 16
while missing > 0 do
  local rows = call('XPENDING', mailbox, 'workers', from, last, page, me)
  for _, row in ipairs(rows) do
    if wanted[row[1]] and not mine[row[1]] then
      mine[row[1]] = true
      missing = missing - 1
    end
  end
  if #rows < page then break end
  from = rows[#rows][1] -- again with this one: not every server knows exclusive ranges
end

local lines, order, ended, answer, known, turns = {}, {}, {}, {}, {}, {}

-- returns the list of reply lines of each channel
local function listeners(channels)
  local found = {}
  for channel in channels:gmatch('%S+') do
    if channel:sub(1, #prefix) == prefix and channel:sub(-#suffix) == suffix then
      if not lines[channel] then
        lines[channel] = {}
        order[#order + 1] = channel
      end
      found[#found + 1] = lines[channel]
    end
  end
  known[channels] = found
  return found
end

local function tell(channels, id, meta, run, body)
  local found = known[channels] or listeners(channels)
  for l = 1, #found do
    local to = found[l]
    local n = #to
    to[n + 1], to[n + 2], to[n + 3], to[n + 4], to[n + 5], to[n + 6], to[n + 7], to[n + 8] = id, ' ', meta, 'entry=', run, ' ', body, '\n'
  end
end

local function bury(fields, why, attempts)
  local now = call('TIME')
  local at = now[1] .. string.format('%03d', math.floor(tonumber(now[2]) / 1000))
  local letter = {}
  for f = 1, math.min(#fields, 400) do letter[f] = fields[f] end -- a request has fewer fields, and unpack has a limit
  for _, f in ipairs({'error', why, 'attempts', attempts, 'dead_at', at}) do letter[#letter + 1] = f end
  call('XADD', dead, '*', unpack(letter))
end

-- sends an expired request again when a caller has joined it with a later deadline
local function again(record, entry)
  local deadline = call('HGET', record, 'until')
  if not deadline then return false end
  local now = call('TIME')
  if deadline ~= '' and tonumber(deadline) <= tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) then return false end
  local found = call('XRANGE', mailbox, entry, entry)
  if not found[1] then return false end
  local fields = found[1][2]
  if #fields > 400 then return false end -- a request has fewer fields, and unpack has a limit
  for f = 1, #fields, 2 do
    if fields[f] == 'deadline' then fields[f + 1] = deadline end
  end
  call('HSET', record, 'entry', call('XADD', mailbox, '*', unpack(fields)))
  call('HDEL', record, 'until')
  return true
end

-- Stores an outcome. One that is large is kept whole for at most five minutes, in a key of
-- its own; what remains says how the request ended.
local function keep(record, meta, envelope, store)
  if #envelope <= large or tonumber(store) <= keep_large then
    call('HSET', record, 'state', 'done', 'outcome', meta .. ' ' .. envelope)
    return
  end
  local status = meta:match('status=(%d+)') or (envelope:find('^{"ok":true') and '200' or '500')
  local rest = string.format('{"ok":false,"error":{"code":"OUTCOME_NOT_KEPT","message":"the request ended with status %s;' ..
    ' its outcome of %d bytes is no longer kept","status":410,"details":{"status":%s,"bytes":%d,"sha1":"%s"}}}',
    status, #envelope, status, #envelope, redis.sha1hex(envelope))
  call('HSET', record, 'state', 'done', 'outcome', 'status=410 ' .. rest, 'body', '1')
  call('SET', record .. ':body', meta .. ' ' .. envelope, 'PX', keep_large)
end

-- Charges the principal for what is kept of its request.
local function account(record, principal, charged, internal, bytes, store)
  if internal then store = math.min(store, 600000) end
  if bytes > large and store > keep_large then
    charge(principal or '', bytes, keep_large)
    bytes = 0
  end
  recharge(principal, charged, bytes, store)
end

for i = 3, #KEYS do
  local record, a = KEYS[i], 2 + (i - 3) * 8
  local entry, id, state, meta, envelope, store = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]
  if mine[entry] then
    mine[entry] = nil
    local channels, lane, run, charged, principal, internal = unpack(call('HMGET', record, 'channels', 'lane', 'run', 'charged', 'principal', 'internal'))
    local fields
    if not channels or state == 'dead' then
      local found = call('XRANGE', mailbox, entry, entry)
      fields = found[1] and found[1][2] or {}
      if not channels then
        channels = ''
        for f = 1, #fields, 2 do
          if fields[f] == 'reply' then channels = fields[f + 1] end
          if fields[f] == 'lane' and store ~= '' then lane = fields[f + 1] end
        end
      end
    end
    if state == 'dead' then bury(fields, ARGV[a + 6], ARGV[a + 7]) end
    local body = envelope
    if store ~= '' then
      if state == 'done' then
        keep(record, meta, envelope, store)
        call('PEXPIRE', record, store)
        account(record, principal, charged, internal, #envelope, tonumber(store))
        if #envelope > large then meta, body = meta == '-' and 'stored=1' or meta .. ',stored=1', '-' end
      elseif state == 'expired' then
        if again(record, entry) then
          lane = false -- it keeps its turn
        else
          call('HSET', record, 'state', 'expired')
          call('PEXPIRE', record, store)
          account(record, principal, charged, internal, 0, tonumber(store))
        end
      elseif state == 'cancelled' then
        call('HSET', record, 'state', 'cancelled')
        call('PEXPIRE', record, store)
        account(record, principal, charged, internal, 0, tonumber(store))
      else
        call('HSET', record, 'state', 'dead')
        call('PERSIST', record)
        if charged then -- a dead letter has no end: it counts for a day
          local bytes = tonumber(charged:match('%d+$'))
          refund(principal or '', charged)
          call('HSET', record, 'charged', charged_field(charge(principal or '', bytes, 86400000), bytes))
        end
      end
    end
    -- An expiry has no reply: its caller has given up, and a caller that uses the id
    -- again must not get it. The entry names the run that a reply belongs to: an id that
    -- never ran may be used again.
    if id ~= '' and state ~= 'expired' then
      tell(channels, id, meta == '-' and '' or meta .. ',', run or entry, body)
    end
    if lane and lane ~= '' then turns[#turns + 1] = {lane, id} end
    ended[#ended + 1] = entry
    answer[#answer + 1] = 1
  else
    answer[#answer + 1] = 0
  end
end

if #ended > 0 then
  call('XACK', mailbox, 'workers', unpack(ended))
  call('XDEL', mailbox, unpack(ended))
end
for _, turn in ipairs(turns) do release(turn[1], turn[2]) end
write_accounts()
for _, channel in ipairs(order) do
  redis.pcall('PUBLISH', channel, table.concat(lines[channel]))
end
return answer
