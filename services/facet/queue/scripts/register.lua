-- Of the registry of a model's shards, in shard 0. ARGV: 1 history that the caller knows or '', 2 name for a new
-- one, 3 gateway or '', 4 its count of shards, 5 life of its registration, 6 how long a count is
-- remembered, 7 shards that hold something, 8 shards that have been empty for long, 9 shards and
-- 10 counts to be told to another history; lists are joined by spaces.
-- Returns {origin, {active count, ms since ...}, {known count ...}, {shard ...}}.
local now = now_ms()
local origin = redis.call('GET', registry_key)
if not origin then
  origin = ARGV[2]
  redis.call('SET', registry_key, origin)
end
if origin ~= ARGV[1] then
  for shard in string.gmatch(ARGV[9], '%d+') do redis.call('SADD', shards_key, shard) end
  for count in string.gmatch(ARGV[10], '%d+') do redis.call('ZADD', counts_key, now, count) end
end

redis.call('ZREMRANGEBYSCORE', gateways_key, '-inf', now)
local active, most = {}, 0
for _, member in ipairs(redis.call('ZRANGE', gateways_key, 0, -1)) do
  active[string.match(member, '^%d+')] = true
end
-- A count whose gateways had all lapsed begins anew.
for _, count in ipairs(redis.call('HKEYS', active_key)) do
  if not active[count] then redis.call('HDEL', active_key, count) end
end
-- Each at a time of its own: all are to agree which was first.
local since = now
for _, at in ipairs(redis.call('HVALS', active_key)) do since = math.max(since, at + 1) end
if ARGV[3] ~= '' then
  redis.call('ZADD', gateways_key, now + ARGV[5], ARGV[4] .. ' ' .. ARGV[3])
  active[ARGV[4]] = true
end
for count in pairs(active) do
  redis.call('HSETNX', active_key, count, since)
  redis.call('ZADD', counts_key, now, count)
  most = math.max(most, tonumber(count))
end
redis.call('ZREMRANGEBYSCORE', counts_key, '-inf', now - ARGV[6])

for shard = 0, most - 1 do redis.call('SADD', shards_key, shard) end
for shard in string.gmatch(ARGV[7], '%d+') do redis.call('SADD', shards_key, shard) end
-- Without a gateway that places there nothing comes any more.
for shard in string.gmatch(ARGV[8], '%d+') do
  if tonumber(shard) >= most then redis.call('SREM', shards_key, shard) end
end

local ages = {}
for _, count in ipairs(redis.call('HKEYS', active_key)) do
  ages[#ages + 1] = tonumber(count)
  ages[#ages + 1] = now - redis.call('HGET', active_key, count)
end
local function numbers(found)
  for i = 1, #found do found[i] = tonumber(found[i]) end
  return found
end
return {origin, ages, numbers(redis.call('ZRANGE', counts_key, 0, -1)),
  numbers(redis.call('SMEMBERS', shards_key))}
