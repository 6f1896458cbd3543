-- ARGV: name, life in ms. Returns the epoch in which it leads, 0 while another one does. A life of 0
-- ends its own.
local now, name, life = now_ms(), ARGV[1], tonumber(ARGV[2])
local held = redis.call('HMGET', scaling_key, 'leader', 'until', 'epoch')
local epoch = tonumber(held[3] or 0)
if held[1] ~= name and tonumber(held[2] or 0) > now then return 0 end
if held[1] ~= name or tonumber(held[2] or 0) <= now then epoch = epoch + 1 end
redis.call('HSET', scaling_key, 'leader', name, 'until', now + life, 'epoch', epoch)
return epoch
