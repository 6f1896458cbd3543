-- KEYS: holders of a medium. ARGV: life_ms, generation id. It is held for so long at least.
local holders, now = KEYS[1], now_ms()
redis.call('ZREMRANGEBYSCORE', holders, '-inf', now)
redis.call('ZADD', holders, 'GT', now + tonumber(ARGV[1]), ARGV[2])
if redis.call('PTTL', holders) < tonumber(ARGV[1]) then redis.call('PEXPIRE', holders, ARGV[1]) end
return 1
