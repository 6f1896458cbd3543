-- Returns {now ms, at ms, decision, memory, epoch}, 0 and '' for what is not there.
local held = redis.call('HMGET', scaling_key, 'at', 'decision', 'memory', 'epoch')
return {now_ms(), tonumber(held[1] or 0), held[2] or '', held[3] or '', tonumber(held[4] or 0)}
