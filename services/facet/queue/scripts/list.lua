-- ARGV: tenant, place before which the page begins or '+inf', limit.
-- Returns {place of the last, status ...}; what the store no longer has is left out.
local key = index_key(ARGV[1])
local found = redis.call('ZREVRANGEBYSCORE', key, ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local now = now_ms()
local rate = drain_rate(now)
local reply = {#found == 2 * tonumber(ARGV[3]) and found[#found] or ''}
for i = 1, #found, 2 do
  local record = read_record(found[i])
  if record then
    reply[#reply + 1] = {found[i], describe_status(found[i], record, now, rate)}
  else
    redis.call('ZREM', key, found[i])
  end
end
return reply
