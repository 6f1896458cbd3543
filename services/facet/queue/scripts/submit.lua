-- ARGV: id, tenant, envelope, handicap, deadline_ms, keep_ms, grace_ms or '', idem or '', digest,
-- max_waiting. Returns {0 new | 1 earlier | 2 request id reused | 3 full, id, remaining ms}.
local id, tenant, idem, digest = ARGV[1], ARGV[2], ARGV[8], ARGV[9]

-- Whoever repeats is about to read: its grace starts anew before anybody can take it for gone.
local function repeated(code, id, record)
  touch_reader(id, record.state, record.grace)
  return {code, id, remaining_ms(record)}
end

local known = read_record(id)
if known then return repeated(0, id, known) end
if idem ~= '' then
  local earlier = redis.call('HMGET', idem_key(idem), 'id', 'digest')
  local record = earlier[1] and read_record(earlier[1])
  if record then
    if earlier[2] ~= digest then return {2, earlier[1], 0} end
    return repeated(1, earlier[1], record)
  end
end
if waiting() >= tonumber(ARGV[10]) then return {3, id, 0} end

local now = now_ms()
local due = now + tonumber(ARGV[5])
local record = {score = now + tonumber(ARGV[4]), deaths = 0, fp = ''}
enter_lane(id, record)
redis.call('HSET', record_key(id), 'state', 'W', 'tenant', tenant, 'grace', ARGV[7],
  'idem', idem, 'lane', record.lane, 'score', record.score, 'born', now, 'due', due,
  'keep', ARGV[6])
redis.call('SET', envelope_key(id), ARGV[3])
redis.call('ZADD', deadlines_key, due, id)
if ARGV[7] ~= '' then redis.call('ZADD', readers_key, now + tonumber(ARGV[7]), id) end
if idem ~= '' then
  redis.call('HSET', idem_key(idem), 'id', id, 'digest', digest)
  redis.call('PERSIST', idem_key(idem))
end
post_hint()
return {0, id, due - now}
