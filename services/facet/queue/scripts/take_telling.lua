-- ARGV: who, for how many ms. Returns 1 to the one that tells this queue until then.
local teller = redis.call('GET', teller_key)
if teller and teller ~= ARGV[1] then return 0 end
redis.call('SET', teller_key, ARGV[1], 'PX', ARGV[2])
return 1
