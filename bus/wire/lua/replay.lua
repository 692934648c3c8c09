-- Puts a dead letter back into the mailbox or at the end of its lane, or drops it.
--
-- KEYS[1]  the mailbox   KEYS[2]  the dead letters   KEYS[3]  the record of its request
-- ARGV[1]  replay or drop
-- ARGV[2]  the entry of the dead letter
-- ARGV[3]  the request's id, as its caller read it; "" if it has none
-- Returns replayed <entry> | done "" (it has an outcome: the letter is
-- removed and not run again) | dropped "" | gone "" (no such letter)
local mailbox, dead, record = KEYS[1], KEYS[2], KEYS[3]
local what, letter, id = ARGV[1], ARGV[2], ARGV[3]

local found = redis.call('XRANGE', dead, letter, letter)
if #found == 0 then return {'gone', ''} end
local fields, stored, read, lane = {}, '', '', ''
for f = 1, #found[1][2], 2 do
  local name, value = found[1][2][f], found[1][2][f + 1]
  if name == 'store' then stored = value end
  if name == 'id' then read = value end
  if name == 'lane' then lane = value end
  if name == 'deadline' then value = '' end -- it has passed
  if name ~= 'error' and name ~= 'attempts' and name ~= 'dead_at' and name ~= 'accepted' then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end
if read ~= id then return {'gone', ''} end -- the record is of another request

local state, charged, principal = unpack(redis.call('HMGET', record, 'state', 'charged', 'principal'))
if what == 'drop' then
  redis.call('XDEL', dead, letter)
  -- the id is free again; a stored outcome stays
  if state == 'dead' then
    if charged then refund(principal or '', charged) end
    redis.call('DEL', record)
    write_accounts()
  end
  return {'dropped', ''}
end
if state == 'done' then
  redis.call('XDEL', dead, letter)
  return {'done', ''}
end
-- it enters at the end of its lane: later requests have run since
local entry, run = '', nil
if lane == '' or stored == '' or enter(lane, id) == 1 then
  entry = redis.call('XADD', mailbox, '*', unpack(fields))
else
  run = wait_in_lane(lane, fields)
end
if stored ~= '' and state then
  redis.call('HSET', record, 'state', 'queued', 'entry', entry, 'begun', '1') -- it may have had effects: see cancel.lua
  if run then redis.call('HSET', record, 'run', run) else redis.call('HDEL', record, 'run') end
  redis.call('HDEL', record, 'until')
  redis.call('PERSIST', record)
end
redis.call('XDEL', dead, letter)
return {'replayed', entry}
