-- ARGV: worker. Nothing is held for it any more.
redis.call('ZREM', workers_key, ARGV[1])
redis.call('ZREM', waits_key, ARGV[1])
redis.call('SREM', drains_key, ARGV[1])
redis.call('HDEL', reports_key, ARGV[1])
redis.call('HDEL', held_key, ARGV[1])
return redis.call('DEL', nudge_key(ARGV[1]))
