-- ARGV: 1 key of a medium, 2 its bytes, 3 life_ms, 4 bytes of all media at most. Counts it for its
-- life from here on, longer if it is counted for longer already.
-- Returns 0 no room, 1 counted, 2 no room as long as more that has lapsed is counted: ask again.
local member = ARGV[2] .. ' ' .. ARGV[1]
local bytes, now = tonumber(ARGV[2]), now_ms()
local sum = tonumber(redis.call('GET', blob_bytes_key) or 0)
local lapsed = redis.call('ZRANGEBYSCORE', blobs_key, '-inf', now, 'LIMIT', 0, MAX_BATCH)
for _, each in ipairs(lapsed) do
  redis.call('ZREM', blobs_key, each)
  sum = sum - tonumber(string.match(each, '^%d+'))
end
local known = redis.call('ZSCORE', blobs_key, member)
local has_room = known or sum + bytes <= tonumber(ARGV[4])
if has_room then
  if not known then sum = sum + bytes end
  redis.call('ZADD', blobs_key, math.max(now + tonumber(ARGV[3]), tonumber(known or 0)), member)
end
redis.call('SET', blob_bytes_key, sum)
if has_room then return 1 end
return #lapsed == MAX_BATCH and 2 or 0
