-- ARGV: epoch, decision, memory. Returns 1, or 0 when that epoch is over.
local now = now_ms()
local held = redis.call('HMGET', scaling_key, 'until', 'epoch')
if held[2] ~= ARGV[1] or tonumber(held[1]) <= now then return 0 end
redis.call('HSET', scaling_key, 'at', now, 'decision', ARGV[2], 'memory', ARGV[3])
return 1
