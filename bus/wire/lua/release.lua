-- Gives a running request back: any worker may claim its entry when it has been idle for the
-- idle limit.
--
-- KEYS[1]   the mailbox
-- ARGV[1]   the worker       ARGV[2]  the idle time that the entry then has, in ms
-- ARGV[3]   the entry        ARGV[4]  1 if no handler has begun it: the delivery does not
--                                      count; else 0 or missing
-- ARGV[5]   1 if its handler has ended by itself: the request is no suspect (trial.lua), and
--           belongs to the consumer "-"; else 0 or missing
-- Returns 1, or 0 if the worker no longer owns the entry.
local row = redis.call('XPENDING', KEYS[1], 'workers', ARGV[3], ARGV[3], 1, ARGV[1])[1]
if not row then return 0 end
redis.call('XCLAIM', KEYS[1], 'workers', ARGV[5] == '1' and '-' or ARGV[1], 0, ARGV[3], 'IDLE', ARGV[2],
  'RETRYCOUNT', row[4] - (tonumber(ARGV[4]) or 0), 'JUSTID')
return 1
