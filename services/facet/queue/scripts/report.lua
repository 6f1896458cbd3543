-- ARGV: worker, report, life in ms. Returns 1 when an operator asked it to drain.
pass_without_memory()
redis.call('ZADD', workers_key, now_ms() + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', reports_key, ARGV[1], ARGV[2])
return redis.call('SISMEMBER', drains_key, ARGV[1])
