-- Claims suspects, one at a time: requests whose worker was lost while it ran them. The hash
-- "trials" holds a mark for each that is on trial: its worker, then "trial", "waits" or "alone",
-- then the IDs of the requests that run beside it. A mark that outlives its worker accuses its
-- request: it was on trial when the worker was lost.
--
-- KEYS[1]   the mailbox
-- ARGV[1]   the worker       ARGV[2]  take, begin or end
--
-- take      claims the first suspect that is still idle, counts the delivery and sets a mark. A
--           request that has to run alone is claimed if no other can be, with the mark "waits".
--           The delivery of one that was lost while it waited does not count.
-- ARGV[3]   the idle limit in ms
-- ARGV[4]   the number of the delivery from which a request runs alone
-- ARGV[5]   1 if the worker may run a request alone now, else 0
-- ARGV[6]   the IDs of the requests that run beside it, separated by commas
-- ARGV[7..] the entries of suspects
-- Returns the entries whose requests are lost, because they were deleted by hand; if it has
-- claimed one, also its entry, the number of the delivery, 1 if it has to run alone, its earlier
-- mark, and its fields.
--
-- begin     marks a claimed request that has waited, and now runs alone
-- ARGV[3]   the entry        ARGV[4]  the IDs of the requests that run beside it after all
-- Returns 1, or 0 if the worker no longer owns the entry.
--
-- end       removes the mark of this worker: the trial is over
-- ARGV[3]   the entry
-- Returns 1, or 0 if there is none.
local mailbox, me, step = KEYS[1], ARGV[1], ARGV[2]
local trials = mailbox:gsub('requests$', 'trials')

local function mark(entry, state, beside)
  redis.call('HSET', trials, entry, me .. ' ' .. state .. ' ' .. beside)
  redis.call('PEXPIRE', trials, 86400000)
end

if step == 'begin' then
  if not redis.call('XPENDING', mailbox, 'workers', ARGV[3], ARGV[3], 1, me)[1] then return 0 end
  mark(ARGV[3], 'alone', ARGV[4])
  return 1
elseif step == 'end' then
  local found = redis.call('HGET', trials, ARGV[3])
  if not found or found:match('^%S+') ~= me then return 0 end
  return redis.call('HDEL', trials, ARGV[3])
end

local deleted, chosen = {}, nil
for i = 7, #ARGV do
  local entry = ARGV[i]
  local row = redis.call('XPENDING', mailbox, 'workers', 'IDLE', ARGV[3], entry, entry, 1)[1]
  if row then
    if not redis.call('XRANGE', mailbox, entry, entry)[1] then
      redis.call('XACK', mailbox, 'workers', entry)
      deleted[#deleted + 1] = entry
    else
      local before = redis.call('HGET', trials, entry) or ''
      local delivery = row[4] + 1
      if before:match('^%S+ (%S+)') == 'waits' then delivery = delivery - 1 end
      local alone = (before ~= '' or delivery >= tonumber(ARGV[4])) and 1 or 0
      if alone == 0 then
        chosen = {entry, delivery, alone, before}
        break
      end
      if not chosen and ARGV[5] == '1' then chosen = {entry, delivery, alone, before} end
    end
  end
end
if not chosen then return {deleted} end
local entry = chosen[1]
local fields = redis.call('XCLAIM', mailbox, 'workers', me, 0, entry, 'RETRYCOUNT', chosen[2])[1][2]
mark(entry, chosen[3] == 1 and 'waits' or 'trial', ARGV[6])
return {deleted, entry, chosen[2], chosen[3], chosen[4], fields}
