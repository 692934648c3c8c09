-- Removes consumers that are gone. Never one that has something pending:
-- removing a consumer destroys its pending list.
--
-- KEYS[1]   the mailbox
-- ARGV[1]   how long a consumer has to be idle, in ms
-- ARGV[2]   the one consumer to remove, however idle; "" looks at all
-- Returns how many it removed.
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
