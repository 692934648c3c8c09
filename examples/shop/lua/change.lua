-- Changes fields of a record, once for each request. Stores a copy of the changed record for the request, so that the
-- request gets the same answer when it is delivered again. Without a record, there is no copy either.
-- KEYS: 1 the record, 2 the memory of the request
-- ARGV: 1 seconds to remember the request, 2... names and values of the fields
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
  redis.call('COPY', KEYS[1], KEYS[2])
  redis.call('EXPIRE', KEYS[2], ARGV[1])
end
return 1
