-- Looks up a query: finds its entry, or the leader that computes the answer, or takes
-- the lease to compute it.
--
-- KEYS[1]   the entry      KEYS[2]   prefix of the lease; ":" and the nonces follow
-- KEYS[3]   unused here    KEYS[4..] the tags
-- ARGV[1]   a random token, for the lease and as the nonce of tags without one
-- ARGV[2]   time to live of the lease, ms
-- ARGV[3]   the channel of the process that looks up
-- ARGV[4]   the part of an entry's life in which it is stale, ms
-- ARGV[5]   time to live of a new nonce, ms
-- ARGV[6]   the mode. look: as above. fresh: ignore the entry and run in any case, with
--           a lease of its own beside that of another leader. peek: only find the entry
-- An entry is its nonces, its life in ms and its value, with a space after each of the
-- first two. A lease is its token and the channels of the processes that wait, with a
-- space before each. Nonces are joined by commas; "-" stands for no tags.
-- Returns {what, nonces, wait, left, entry}: what is hit, lead, wait or none; wait is
-- the time until the lease ends, ms; left is the time for which the entry stays fresh,
-- ms (negative: it is stale); entry is the entry without its nonces, if there is one.
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

local left, entry = 0, nil
if mode ~= 'fresh' then
  local found = call('GET', KEYS[1])
  if found and found:sub(1, #seen + 1) == seen .. ' ' then
    left, entry = call('PTTL', KEYS[1]) - tonumber(ARGV[4]), found:sub(#seen + 2)
    if left > 0 then return {'hit', seen, 0, left, entry} end
  end
  if mode == 'peek' then return {'none', seen, 0, 0} end
end

local lease = KEYS[2] .. ':' .. seen
if mode == 'fresh' then
  call('SET', lease .. ':fresh', token, 'PX', ARGV[2])
  return {'lead', seen, 0, 0}
end
local held = call('SET', lease, token, 'NX', 'PX', ARGV[2], 'GET')
-- A claim may have taken the lease before (claim.go).
if not held or held:sub(1, #token) == token then return {'lead', seen, 0, left, entry} end
if #held < 65536 and not held:find(' ' .. ARGV[3], 1, true) then call('APPEND', lease, ' ' .. ARGV[3]) end
return {'wait', seen, call('PTTL', lease), left, entry}
