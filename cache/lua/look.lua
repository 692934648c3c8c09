-- Looks for the answer to a question: a copy, or somebody who is making it, or
-- the right to make it.
--
-- KEYS[1]   the copy       KEYS[2]   the lease, a prefix: ":" and nonces follow
-- KEYS[3]   unused here    KEYS[4..] the tags
-- ARGV[1]   a random token: the lease's, and the nonce of tags that have none
-- ARGV[2]   how long the lease lasts, ms
-- ARGV[3]   the channel of the process that looks
-- ARGV[4]   how much of a copy's life is stale, ms
-- ARGV[5]   how long a new nonce lasts, ms
-- ARGV[6]   look: as said above; fresh: no copy, no lease, run in any case;
--           peek: a copy and nothing else
-- Returns {what, nonces, began, wait, left, life, value}: hit, lead, wait or
-- none; the time of the look in us; how long the lease lasts, ms; how long the
-- copy stays fresh (below 0: it is stale) and how long it lives in all, ms; the
-- copy. Life is 0 where there is none.
local call, mode = redis.call, ARGV[6]

local nonces = {}
for i = 4, #KEYS do
  local nonce = call('GET', KEYS[i])
  if not nonce then
    if mode == 'peek' then return {'none', '', '0', 0, 0, 0, ''} end
    nonce = ARGV[1]
    call('SET', KEYS[i], nonce, 'PX', ARGV[5])
  end
  nonces[#nonces + 1] = nonce
end
local seen = #nonces > 0 and table.concat(nonces, ',') or '-'

local left, life, value = 0, 0, ''
if mode ~= 'fresh' then
  local copy = call('HMGET', KEYS[1], 'nonces', 'life', 'value')
  if copy[1] == seen then
    left, life, value = call('PTTL', KEYS[1]) - tonumber(ARGV[4]), tonumber(copy[2]), copy[3]
    if left > 0 then return {'hit', seen, '0', 0, left, life, value} end
  end
  if mode == 'peek' then return {'none', seen, '0', 0, 0, 0, ''} end
end

local now = call('TIME')
local began = now[1] .. string.format('%06d', tonumber(now[2]))
if mode == 'fresh' then return {'lead', seen, began, 0, 0, 0, ''} end

local lease = KEYS[2] .. ':' .. seen
if call('HSETNX', lease, 'token', ARGV[1]) == 1 then
  call('PEXPIRE', lease, ARGV[2])
  return {'lead', seen, began, 0, left, life, value}
end
if call('HLEN', lease) < 1000 then call('HSET', lease, ARGV[3], 1) end
return {'wait', seen, began, call('PTTL', lease), left, life, value}
