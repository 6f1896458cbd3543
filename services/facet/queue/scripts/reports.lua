-- Returns the reports that have not lapsed, at most MAX_BATCH, the freshest first.
local lapsed = string.format('(%.0f', now_ms())
local workers = redis.call('ZREVRANGEBYSCORE', workers_key, '+inf', lapsed, 'LIMIT', 0, MAX_BATCH)
if #workers == 0 then return {} end
return redis.call('HMGET', reports_key, unpack(workers))
