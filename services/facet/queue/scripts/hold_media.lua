-- KEYS: holders of a medium, its bytes. ARGV: life_ms, generation id. It is held for so long at least.
local holders, bytes, now, life = KEYS[1], KEYS[2], now_ms(), tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', holders, '-inf', now)
-- A release without holders stored the bytes, for it does not say whom: until they lapse.
local left = redis.call('EXISTS', holders) == 0 and redis.call('PTTL', bytes) or 0
if left > 0 then redis.call('ZADD', holders, now + left, '?') end
redis.call('ZADD', holders, 'GT', now + life, ARGV[2])
local wanted = math.max(life, left)
if redis.call('PTTL', holders) < wanted then redis.call('PEXPIRE', holders, wanted) end
return 1
