-- Ends a leader's run: stores its outcome, unless a tag was invalidated since its
-- look, and hands it to the processes that wait for it.
--
-- KEYS[1]   the copy       KEYS[2]   the lease, a prefix: ":" and nonces follow
-- KEYS[3]   a prefix of what is too long to publish: ":" and the token follow
-- KEYS[4..] the tags
-- ARGV[1]   the leader's token; "" without a lease
-- ARGV[2]   the nonces of its look      ARGV[3]  the time of its look, us
-- ARGV[4]   how long the copy lives, ms; 0: it is not stored
-- ARGV[5]   the outcome's value         ARGV[6]  what the message begins with
-- ARGV[7]   from how many bytes on a value is not published
-- Returns 1 when a copy was stored.
local call, token, seen, value = redis.call, ARGV[1], ARGV[2], ARGV[5]
local life, stored = tonumber(ARGV[4]), 0

if life > 0 then
  local nonces = {}
  for i = 4, #KEYS do nonces[#nonces + 1] = call('GET', KEYS[i]) or '' end
  if seen == (#nonces > 0 and table.concat(nonces, ',') or '-') then
    local copy = call('HMGET', KEYS[1], 'nonces', 'began')
    -- one of a later look is newer
    if copy[1] ~= seen or tonumber(copy[2]) <= tonumber(ARGV[3]) then
      call('HSET', KEYS[1], 'nonces', seen, 'began', ARGV[3], 'life', life, 'value', value)
      call('PEXPIRE', KEYS[1], life)
      for i = 4, #KEYS do
        if call('PTTL', KEYS[i]) < life then call('PEXPIRE', KEYS[i], life + 60000) end
      end
      stored = 1
    end
  end
end

if token ~= '' then
  local lease = KEYS[2] .. ':' .. seen
  if call('HGET', lease, 'token') == token then
    local waiting = call('HKEYS', lease)
    call('DEL', lease)
    if #waiting > 1 then
      local message = ARGV[6] .. value
      if #value > tonumber(ARGV[7]) then
        call('SET', KEYS[3] .. ':' .. token, value, 'PX', 10000)
        message = ARGV[6]
      end
      for _, channel in ipairs(waiting) do
        if channel ~= 'token' then redis.pcall('PUBLISH', channel, message) end
      end
    end
  end
end
return stored
