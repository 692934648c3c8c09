-- Redeems a voucher for a payment. Returns 1 if it is redeemed for that payment, now or before, 0 if it is redeemed for
-- another one, and nil if there is no such voucher. The voucher holds the payment, so the request is not remembered.
-- KEYS: 1 the voucher
-- ARGV: 1 id of the payment
local voucher = redis.call('HMGET', KEYS[1], 'used', 'payment_id')
if not voucher[1] then
  return nil
end
if voucher[1] == '1' then
  return voucher[2] == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'used', '1', 'payment_id', ARGV[1])
return 1
