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
-- ARGV[6]   look: as said above; fresh: no copy, run in any case, beside whoever
--           runs already, with a lease of its own; peek: a copy and nothing else
-- A copy is its nonces, its life in ms and its value, with a space behind each of
-- the first two. A lease is its token and the channels of those who wait, with a
-- space before each.
-- Returns {what, nonces, wait, left, copy}: hit, lead, wait or none; how long the
-- lease lasts, ms; how long the copy stays fresh, ms (below 0: it is stale); the
-- copy, without its nonces. Nothing stands for what there is not.
local call, mode, token = redis.call, ARGV[6], ARGV[1]

local seen = '-'
if #KEYS == 4 then
  seen = call('GET', KEYS[4])
elseif #KEYS > 4 then
  local nonces = call('MGET', unpack(KEYS, 4))
  seen = true
  for _, nonce in ipairs(nonces) do seen = seen and nonce end
  seen = seen and table.concat(nonces, ',')
end
if not seen then
  if mode == 'peek' then return {'none', '', 0, 0} end
  local nonces = {}
  for i = 4, #KEYS do
    nonces[#nonces + 1] = call('SET', KEYS[i], token, 'NX', 'PX', ARGV[5], 'GET') or token
  end
  seen = table.concat(nonces, ',')
end

local left, copy = 0, nil
if mode ~= 'fresh' then
  local found = call('GET', KEYS[1])
  if found and found:sub(1, #seen + 1) == seen .. ' ' then
    left, copy = call('PTTL', KEYS[1]) - tonumber(ARGV[4]), found:sub(#seen + 2)
    if left > 0 then return {'hit', seen, 0, left, copy} end
  end
  if mode == 'peek' then return {'none', seen, 0, 0} end
end

local lease = KEYS[2] .. ':' .. seen
if mode == 'fresh' then
  call('SET', lease .. ':fresh', token, 'PX', ARGV[2])
  return {'lead', seen, 0, 0}
end
local held = call('SET', lease, token, 'NX', 'PX', ARGV[2], 'GET')
-- It may be this one's already: see claim.go.
if not held or held:sub(1, #token) == token then return {'lead', seen, 0, left, copy} end
if #held < 65536 and not held:find(' ' .. ARGV[3], 1, true) then call('APPEND', lease, ' ' .. ARGV[3]) end
return {'wait', seen, call('PTTL', lease), left, copy}
