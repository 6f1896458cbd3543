-- ARGV: worker. Returns 1 when it reports and will hear of it.
if not redis.call('ZSCORE', workers_key, ARGV[1]) then return 0 end
redis.call('SADD', drains_key, ARGV[1])
return 1
