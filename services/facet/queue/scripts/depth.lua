-- Returns {n1, t1, oldest1 ms, accepted1, accepted tokens1, n2, t2, ..., bytes, leased, dead, tokens a second times
-- 1000, mean output tokens}.
local now = now_us()
local oldest = {math.huge, math.huge, math.huge}
for _, lane in ipairs(redis.call('SMEMBERS', lanes_key)) do
  local class = tonumber(string.sub(lane, 1, 1))
  local head = redis.call('ZRANGE', heads_key(lane), 0, 0, 'WITHSCORES')
  -- Suspects are few; they are told with the best class.
  class = math.max(class, 1)
  if head[2] then oldest[class] = math.min(oldest[class], tonumber(head[2])) end
end
local load = redis.call('HMGET', load_key, 'n1', 't1', 'n2', 't2', 'n3', 't3', 'b')
local accepted = redis.call('HMGET', accepted_key, 'n1', 't1', 'n2', 't2', 'n3', 't3')
local reply = {}
for class = 1, 3 do
  reply[#reply + 1] = tonumber(load[2 * class - 1] or 0)
  reply[#reply + 1] = tonumber(load[2 * class] or 0)
  local age = oldest[class] < math.huge and math.floor((now - oldest[class]) / 1000) or 0
  reply[#reply + 1] = math.max(age, 0)
  reply[#reply + 1] = tonumber(accepted[2 * class - 1] or 0)
  reply[#reply + 1] = tonumber(accepted[2 * class] or 0)
end
reply[#reply + 1] = tonumber(load[7] or 0)
reply[#reply + 1] = redis.call('ZCARD', leases_key)
reply[#reply + 1] = redis.call('ZCARD', dead_key)
reply[#reply + 1] = math.floor(drain_rate(math.floor(now / 1000)) * 1000000)
reply[#reply + 1] = math.floor(mean_output())
return reply
