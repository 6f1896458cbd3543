-- A worker took a hint and has no use for it.
if redis.call('EXISTS', lanes_key) == 1 then post_hint() end
return 0
