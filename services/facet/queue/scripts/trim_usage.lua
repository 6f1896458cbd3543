-- ARGV: life_ms, records that are kept at most. Drops usage records of generations that ended longer ago,
-- then the oldest beyond the number; of many records as far as whole nodes of the stream hold nothing
-- else, and not all at once. Returns {lapsed, cut}.
local oldest = string.format('%.0f', math.max(now_ms() - tonumber(ARGV[1]), 0))
local exactness = redis.call('XLEN', usage_key) > 10 * MAX_BATCH and '~' or '='
local lapsed = redis.call('XTRIM', usage_key, 'MINID', exactness, oldest)
local cut = lapsed > 0 and 0 or redis.call('XTRIM', usage_key, 'MAXLEN', exactness, ARGV[2])
if redis.call('XLEN', usage_key) == 0 then redis.call('UNLINK', usage_key) end
return {lapsed, cut}
