-- Adds a channel to those that get the replies to a request, for a caller that did not
-- send it.
--
-- KEYS[1]   the record
-- ARGV[1]   the channel
-- Returns the state; "" if there is no record.
local record, channel = KEYS[1], ARGV[1]
local state, channels = unpack(redis.call('HMGET', record, 'state', 'channels'))
if not state then return '' end
channels = channels or ''
if state == 'queued' and not (' ' .. channels .. ' '):find(' ' .. channel .. ' ', 1, true) then
  redis.call('HSET', record, 'channels', channels == '' and channel or channels .. ' ' .. channel)
end
return state
