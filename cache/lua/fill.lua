-- Ends a leader's run, if it still holds the lease: stores its outcome, unless a
-- tag was invalidated since its look, and hands it to the processes that wait.
-- Who runs in any case (fresh) takes the lease from whoever has it, once it has
-- stored its outcome: what was begun before may not replace that.
--
-- KEYS[1]   the copy       KEYS[2]   the lease, a prefix: ":" and nonces follow
-- KEYS[3]   a prefix of what is too long to publish: ":" and the token follow
-- KEYS[4..] the tags
-- ARGV[1]   the leader's token          ARGV[2]  the nonces of its look
-- ARGV[3]   how long the copy lives, ms; 0: it is not stored
-- ARGV[4]   the outcome's value         ARGV[5]  what the message begins with
-- ARGV[6]   from how many bytes on a value is not published
-- ARGV[7]   how it looked (look.lua)
-- Returns 1 when a copy was stored. See look.lua for what a copy and a lease are.
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
