-- Creates a record, once for each request, and returns the id of the record.
-- KEYS: 1 the record, 2 the index, 3 the memory of the request
-- ARGV: 1 id of the record, 2 seconds to remember the request, 3... names and values of its fields
local made = redis.call('GET', KEYS[3])
if made then
  return made
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[1])
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
