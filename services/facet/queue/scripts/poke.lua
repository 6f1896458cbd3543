-- ARGV: reader, life in ms. Ends the reader's wait, or the next one.
redis.call('XADD', poke_key(ARGV[1]), 'MAXLEN', 1, '*', 'p', '1')
return redis.call('PEXPIRE', poke_key(ARGV[1]), ARGV[2])
