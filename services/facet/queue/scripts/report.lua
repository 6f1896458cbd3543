-- ARGV: worker, report, life in ms.
redis.call('ZADD', workers_key, now_ms() + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', reports_key, ARGV[1], ARGV[2])
return 0
