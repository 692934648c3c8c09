-- Keeps a lease: only for the leader that holds it.
--
-- KEYS[1]  the lease
-- ARGV[1]  the leader's token   ARGV[2]  how long from now, ms
-- Returns 1 when it is held.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
