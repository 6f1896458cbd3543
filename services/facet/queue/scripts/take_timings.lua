-- Returns the oldest samples, at most MAX_BATCH, which are gone then.
return redis.call('LPOP', timings_key, MAX_BATCH) or {}
