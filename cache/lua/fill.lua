-- Ends the run of a leader that still holds its lease: stores the outcome, unless a
-- tag was invalidated since the lookup, and publishes it to the processes that wait.
-- A leader in mode "fresh" has a lease of its own. Once it has stored its outcome, it
-- also deletes the lease of any other leader, whose older run then cannot replace the
-- entry.
--
-- KEYS[1]   the entry      KEYS[2]   prefix of the lease; ":" and the nonces follow
-- KEYS[3]   prefix of a value that is too long to publish; ":" and the token follow
-- KEYS[4..] the tags
-- ARGV[1]   the leader's token          ARGV[2]  the nonces of its lookup
-- ARGV[3]   time to live of the entry, ms; 0: do not store it
-- ARGV[4]   the value of the outcome    ARGV[5]  the first line of the message
-- ARGV[6]   a value with more bytes is not published
-- ARGV[7]   the mode of the lookup
-- Returns 1 if an entry was stored, otherwise 0. lookup.lua describes entries and
-- leases.
local call, token, seen, life, value = redis.call, ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local lease, fresh = KEYS[2] .. ':' .. seen, ARGV[7] == 'fresh'
local own = fresh and lease .. ':fresh' or lease
local held = call('GET', own)
if not held or held:sub(1, #token) ~= token then return 0 end
call('DEL', own)

local stored = 0
if life ~= '0' then
  local now = '-'
  if #KEYS == 4 then
    now = call('GET', KEYS[4])
  elseif #KEYS > 4 then
    local nonces = call('MGET', unpack(KEYS, 4))
    for i, nonce in ipairs(nonces) do nonces[i] = nonce or '' end
    now = table.concat(nonces, ',')
  end
  if now == seen then
    call('SET', KEYS[1], seen .. ' ' .. life .. ' ' .. value, 'PX', life)
    stored = 1
  end
end

local waiting = held
if fresh and stored == 1 then
  waiting = call('GET', lease) or ''
  call('DEL', lease)
end
if waiting:find(' ', 1, true) then
  local message = ARGV[5] .. value
  if #value > tonumber(ARGV[6]) then
    call('SET', KEYS[3] .. ':' .. token, value, 'PX', 10000)
    message = ARGV[5]
  end
  for channel in waiting:match(' .*'):gmatch('%S+') do redis.pcall('PUBLISH', channel, message) end
end
return stored
