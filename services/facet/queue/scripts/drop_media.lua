-- KEYS: holders of a medium, its bytes. ARGV: generation id, which holds it no longer. Returns how many
-- bytes were deleted, -1 when somebody holds it still.
local holders, bytes = KEYS[1], KEYS[2]
redis.call('ZREM', holders, ARGV[1])
redis.call('ZREMRANGEBYSCORE', holders, '-inf', now_ms())
if redis.call('ZCARD', holders) > 0 then return -1 end
local size = redis.call('STRLEN', bytes)
redis.call('UNLINK', holders, bytes)
return size
