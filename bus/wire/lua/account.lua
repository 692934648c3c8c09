-- Functions for accounts: the bytes that the requests and the outcomes of a principal take
-- in the Redis of a service. This file is not a script: scripts that store begin with it,
-- and call write_accounts at the end.
--
-- An account is a hash. The field "bytes" is their sum. Each field whose name is a time in
-- unix milliseconds holds the bytes that count until then. "swept" is when the account was
-- last summed up. One more account, without a principal, is that of all together.
--
-- A request is charged when it is accepted, for the time until its outcome expires. The field
-- "charged" of a record, "<time> <bytes>", is what a large request was charged; when it has
-- ended, its record and its outcome are charged in place of it.
--
-- KEYS[1]   the mailbox: all keys have its hash tag and are on its slot
local ns, service = KEYS[1]:match('^(.*):({[^}]*}):requests$')

local clock
local function now_us()
  if not clock then
    local t = redis.call('TIME')
    clock = tonumber(t[1]) * 1000000 + tonumber(t[2])
  end
  return clock
end
local function now_ms() return math.floor(now_us() / 1000) end

local all_accounts = ns .. ':' .. service .. ':stored'
local record_bytes = 900 -- about what a record takes without its outcome (MEMORY USAGE)
local small_bytes = 1024 -- of arguments or an outcome: it is not worth to charge them exactly
local changes, account_keys = {}, {}

local function account_key(principal)
  local key = account_keys[principal]
  if not key then
    key = all_accounts .. ':' .. redis.sha1hex(principal):sub(1, 16)
    account_keys[principal] = key
  end
  return key
end

local function change(key, time, bytes)
  local c = changes[key]
  if not c then
    c = {bytes = 0}
    changes[key] = c
  end
  c[time] = (c[time] or 0) + bytes
  c.bytes = c.bytes + bytes
end

local times = {}

-- Charges bytes for a time in ms and returns the time until which they count. Times are
-- rounded up to a sixteenth, so that an account has few fields.
local function charge(principal, bytes, ttl)
  local step = 15000
  while step * 16 < ttl do step = step * 2 end
  local at = math.ceil((now_ms() + ttl) / step) * step
  local time = times[at]
  if not time then
    time = string.format('%.0f', at)
    times[at] = time
  end
  change(account_key(principal), time, bytes)
  change(all_accounts, time, bytes)
  return time
end

local function charged_field(time, bytes) return time .. ' ' .. string.format('%.0f', bytes) end

-- Takes back what a request was charged.
local function refund(principal, charged)
  local time, bytes = charged:match('^(%d+) (%d+)$')
  if time and tonumber(time) > now_ms() then
    change(account_key(principal), time, -tonumber(bytes))
    change(all_accounts, time, -tonumber(bytes))
  end
end

-- Charges a large request that has ended for its record and for the bytes of its outcome, in
-- place of its arguments. Small requests stay charged as they are, and their large outcomes are
-- charged too.
local function recharge(principal, charged, bytes, ttl)
  if charged then
    refund(principal or '', charged)
    charge(principal or '', record_bytes + bytes, tonumber(ttl))
  elseif bytes > small_bytes and redis.call('EXISTS', all_accounts) == 1 then -- gateways charge
    charge(principal or '', bytes, tonumber(ttl))
  end
end

local sums = {}

-- Returns the bytes of an account, without the changes of this call.
local function sum_of(key)
  local bytes, swept = unpack(redis.call('HMGET', key, 'bytes', 'swept'))
  if bytes and now_ms() - tonumber(swept or 0) >= 15000 then
    local fields, sum = redis.call('HGETALL', key), 0
    for f = 1, #fields, 2 do
      local time = tonumber(fields[f])
      if time and time > now_ms() then
        sum = sum + tonumber(fields[f + 1])
      elseif time then
        redis.call('HDEL', key, fields[f])
      end
    end
    bytes = math.max(0, sum)
    redis.call('HSET', key, 'bytes', string.format('%.0f', bytes), 'swept', string.format('%.0f', now_ms()))
  end
  return math.max(0, tonumber(bytes or 0))
end

-- Returns the bytes of an account, with the changes of this call.
local function stored(key)
  local sum = sums[key]
  if not sum then
    sum = sum_of(key)
    sums[key] = sum
  end
  return sum + (changes[key] and changes[key].bytes or 0)
end

-- Returns the time until some bytes of an account no longer count, in ms.
local function until_less(key)
  local first
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local time = tonumber(field)
    if time and time > now_ms() and (not first or time < first) then first = time end
  end
  return first and first - now_ms() or 15000
end

local function write_accounts()
  for key, c in pairs(changes) do
    local latest = 0
    for time, bytes in pairs(c) do
      local sum = redis.call('HINCRBY', key, time, string.format('%.0f', bytes))
      if sum == bytes and time ~= 'bytes' then latest = math.max(latest, tonumber(time) - now_ms()) end -- a new field
    end
    if latest > 0 and redis.call('PTTL', key) < latest then redis.call('PEXPIRE', key, string.format('%.0f', latest)) end
  end
end

