-- Removes idle consumers of the group that have no pending entries. Removing a consumer
-- destroys its list of pending entries.
--
-- KEYS[1]   the mailbox
-- ARGV[1]   the minimum idle time of a consumer, in ms
-- ARGV[2]   the only consumer to remove, at any idle time; "" checks all
-- Returns the number of removed consumers.
local mailbox, idle, only = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local removed = 0
if redis.call('EXISTS', mailbox) == 0 then return 0 end
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', mailbox, 'workers')) do
  local c = {}
  for i = 1, #info, 2 do c[info[i]] = info[i + 1] end
  if c.pending == 0 and (c.name == only or only == '' and c.idle >= idle) then
    redis.call('XGROUP', 'DELCONSUMER', mailbox, 'workers', c.name)
    removed = removed + 1
  end
end
return removed
