-- ARGV: ids. Renews the presence of readers of those that live and end without readers.
local now = now_ms()
for _, id in ipairs(ARGV) do
  local record = redis.call('HMGET', record_key(id), 'state', 'grace')
  if record[1] and record[1] ~= 'E' and record[2] ~= '' then
    redis.call('ZADD', readers_key, now + tonumber(record[2]), id)
  end
end
return 0
