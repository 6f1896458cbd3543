-- ARGV: life_ms. Drops usage records of generations that ended longer ago; of many records as far as
-- whole nodes of the stream hold nothing else. Returns how many.
local oldest = string.format('%.0f', math.max(now_ms() - tonumber(ARGV[1]), 0))
local exactness = redis.call('XLEN', usage_key) > 10 * MAX_BATCH and '~' or '='
local count = redis.call('XTRIM', usage_key, 'MINID', exactness, oldest)
if redis.call('XLEN', usage_key) == 0 then redis.call('UNLINK', usage_key) end
return count
