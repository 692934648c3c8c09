-- Cancels a request. One that no worker has read never runs: the script removes its entry,
-- or removes it from its lane, and publishes a reply to its callers. The worker of a running
-- one gets to know (keep.lua) and ends its handler.
--
-- KEYS[1]   the mailbox      KEYS[2]  the record
-- ARGV[1]   the reply line for its callers, without the line break
-- ARGV[2]   the time for which the record is kept, in ms
-- Returns the state: cancelled; cancelling if a worker has read it; queued if it is a
-- composition, which cannot be stopped; any other state that it had; "" if there is no record.
local mailbox, record = KEYS[1], KEYS[2]
local state, entry, channels, begun, lane, run, charged, principal = unpack(redis.call(
  'HMGET', record, 'state', 'entry', 'channels', 'begun', 'lane', 'run', 'charged', 'principal'))
local id = ARGV[1]:match('^%S+')
if not state then return '' end
if state ~= 'queued' then return state end
local function stop()
  if service == '{compositions}' then return state end
  local cancelling = ns .. ':' .. service .. ':req:cancelling'
  redis.call('HSET', cancelling, entry, id)
  redis.call('PEXPIRE', cancelling, 3600000)
  redis.call('HSET', record, 'cancelling', '1')
  return 'cancelling'
end
if entry == '' then
  leave(lane, id)
else
  local found, groups = pcall(redis.call, 'XPENDING', mailbox, 'workers', entry, entry, 1)
  if found and #groups > 0 then return stop() end
  if begun then return state end -- a replayed dead letter has begun before
  redis.call('XDEL', mailbox, entry)
  if lane then release(lane, id) end
end
redis.call('HSET', record, 'state', 'cancelled')
redis.call('PEXPIRE', record, ARGV[2])
recharge(principal, charged, 0, ARGV[2])
write_accounts()
local line = ARGV[1]:gsub('^(%S+ %S+) ', '%1,entry=' .. (run or entry) .. ' ', 1) -- the cancelled run
local prefix, suffix = ns .. ':replies:', ':' .. service
for channel in (channels or ''):gmatch('%S+') do
  if channel:sub(1, #prefix) == prefix and channel:sub(-#suffix) == suffix then
    redis.pcall('PUBLISH', channel, line .. '\n')
  end
end
return 'cancelled'
