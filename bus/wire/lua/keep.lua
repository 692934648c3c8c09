-- Keeps running requests: resets the idle time of the entries that the worker owns,
-- without counting a delivery.
--
-- KEYS[1]   the mailbox
-- ARGV[1]   the worker       ARGV[2..]  the entries of its running requests
-- Returns the entries that the worker no longer owns, and, each with a "-" in front, those
-- whose callers have cancelled them.
local mailbox, me = KEYS[1], ARGV[1]
local cancelling = mailbox:gsub('requests$', 'req:cancelling')
local any = redis.call('EXISTS', cancelling) == 1
local answer = {}
for i = 2, #ARGV do
  local entry = ARGV[i]
  local row = redis.call('XPENDING', mailbox, 'workers', entry, entry, 1, me)[1]
  if row then
    redis.call('XCLAIM', mailbox, 'workers', me, 0, entry, 'RETRYCOUNT', row[4], 'JUSTID')
    if any and redis.call('HGET', cancelling, entry) then answer[#answer + 1] = '-' .. entry end
  else
    answer[#answer + 1] = entry
  end
end
return answer
