-- ARGV: score before which the page begins, as '(score' or '+inf', limit.
-- Returns {score of the last or '', {id, tenant, dead ms, failure, bytes, score} ...}.
local found = redis.call('ZREVRANGEBYSCORE', dead_key, ARGV[1], '-inf', 'WITHSCORES',
  'LIMIT', 0, ARGV[2])
local reply = {#found == 2 * tonumber(ARGV[2]) and found[#found] or ''}
for i = 1, #found, 2 do
  local record = read_record(found[i])
  if record then
    reply[#reply + 1] = {found[i], record.tenant, record.ended, failure_of(found[i], record),
      record.bytes, tonumber(found[i + 1])}
  else
    redis.call('ZREM', dead_key, found[i])
  end
end
return reply
