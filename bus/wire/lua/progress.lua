-- Reports the progress of a running request: stores it in the record and publishes it to
-- the callers.
--
-- KEYS[1]   the mailbox      KEYS[2]  the record
-- ARGV[1]   the worker       ARGV[2]  the entry
-- ARGV[3]   the id           ARGV[4]  the progress, as JSON without line breaks
-- Returns 1, or 0 if the worker no longer owns the entry.
local mailbox, record = KEYS[1], KEYS[2]
local ns, service = mailbox:match('^(.*):({[^}]*}):requests$')
if not redis.call('XPENDING', mailbox, 'workers', ARGV[2], ARGV[2], 1, ARGV[1])[1] then return 0 end
local channels = redis.call('HGET', record, 'channels')
if not channels then return 0 end
redis.call('HSET', record, 'progress', ARGV[4])
local prefix, suffix = ns .. ':replies:', ':' .. service
for channel in channels:gmatch('%S+') do
  if channel:sub(1, #prefix) == prefix and channel:sub(-#suffix) == suffix then
    redis.pcall('PUBLISH', channel, ARGV[3] .. '+progress - ' .. ARGV[4] .. '\n')
  end
end
return 1
