-- Takes a quantity of an item from its stock, once for each request. Returns the remaining stock, -1 if the stock is too
-- small, and nil if there is no such item.
-- KEYS: 1 the item, 2 the memory of the request
-- ARGV: 1 quantity, 2 seconds to remember the request
local left = redis.call('GET', KEYS[2])
if left then
  return left
end
local stock = redis.call('HGET', KEYS[1], 'stock')
if not stock then
  return nil
end
if tonumber(stock) < tonumber(ARGV[1]) then
  return -1
end
left = redis.call('HINCRBY', KEYS[1], 'stock', -ARGV[1])
redis.call('SET', KEYS[2], left, 'EX', ARGV[2])
return left
