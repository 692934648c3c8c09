-- Deletes a record, once for each request. Returns 1 if the request deleted it, now or before, and 0 if there was no
-- record.
-- KEYS: 1 the record, 2 the index, 3 the memory of the request
-- ARGV: 1 id of the record, 2 seconds to remember the request
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 1
end
if redis.call('DEL', KEYS[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], 1, 'EX', ARGV[2])
return 1
