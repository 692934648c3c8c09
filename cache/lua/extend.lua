-- Keeps a lease: only for the leader that holds it.
--
-- KEYS[1]  the lease
-- ARGV[1]  the leader's token   ARGV[2]  how long from now, ms
-- Returns 1 when it is held.
local held = redis.call('GET', KEYS[1])
if not held or held:sub(1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
