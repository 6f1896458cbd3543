-- ARGV: samples, at most MAX_BATCH. The latest MAX_TIMINGS are kept.
redis.call('RPUSH', timings_key, unpack(ARGV))
redis.call('LTRIM', timings_key, -MAX_TIMINGS, -1)
redis.call('PEXPIRE', timings_key, TIMINGS_MS)
return 1
