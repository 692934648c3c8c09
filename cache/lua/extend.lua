-- Extends a lease, if the leader still holds it.
--
-- KEYS[1]  the lease
-- ARGV[1]  the leader's token   ARGV[2]  the new time to live, ms
-- Returns 1 if the leader holds the lease, otherwise 0.
local held = redis.call('GET', KEYS[1])
if not held or held:sub(1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
