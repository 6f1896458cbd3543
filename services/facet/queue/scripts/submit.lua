-- ARGV: 1 id, 2 tenant, 3 envelope, 4 class, 5 deadline_ms, 6 keep_ms, 7 grace_ms or '', 8 idem or
-- '', 9 digest, 10 prompt tokens, 11 output tokens at most of each sequence, 12 weight,
-- 13 sequences, 14 needs, 15 affinity, 16 follower or '', 17 name for a new history, 18 what alone is
-- accepted: '' anything, 'shed' (the store is nearly full) or 'known' what is there already,
-- then the bounds: 19 requests, 20 tokens, 21 bytes, 22-24 those of the tenant;
-- 25 replicas that the caller waits for.
-- Returns {0 new | 1 earlier, id, remaining ms, origin} or {2 request id reused, id} or
-- {3 queue full | 4 quota exceeded | 5 store full, which bound, retry after ms} or {6 not known}.
local id, tenant, idem, digest = ARGV[1], ARGV[2], ARGV[8], ARGV[9]
local now_at = now_us()
local now = math.floor(now_at / 1000)
local origin = redis.call('GET', origin_key)

-- Whoever repeats is about to read: its grace starts anew before anybody can take it for gone. Who
-- waits for replicas waits for what this call wrote, so something is written.
local function repeated(code, id, record)
  if ARGV[25] ~= '0' then redis.call('SET', origin_key, origin) end
  if record.state ~= 'E' then set_timer(id, record.due, record.grace, now) end
  return {code, id, math.max(record.due - now, 0), origin or ''}
end

local known = read_record(id)
if known then return repeated(0, id, known) end
if idem ~= '' then
  local earlier = redis.call('HMGET', idem_key(idem), 'id', 'digest')
  local record = earlier[1] and read_record(earlier[1])
  if record then
    if earlier[2] ~= digest then return {2, earlier[1]} end
    return repeated(1, earlier[1], record)
  end
end
if ARGV[18] == 'shed' then return {5, '', FULL_RETRY_MS} end
if ARGV[18] == 'known' then return {6} end

local sequences = tonumber(ARGV[13])
local output = sequences * math.min(mean_output(), tonumber(ARGV[11]))
local cost = tonumber(ARGV[10])
local record = named({
  -- place, due, keep, cost, size, bytes, seqs, weight
  now_at, now + tonumber(ARGV[5]), tonumber(ARGV[6]), cost, math.ceil(cost + output), #ARGV[3],
  sequences, tonumber(ARGV[12]),
}, {
  -- state, tenant, class, needs, grace, idem, aff, inbox
  '', tenant, ARGV[4], ARGV[14], ARGV[7], idem, ARGV[15], ARGV[16],
})

-- How long until `excess` tokens, and what the request itself takes, have left the queue.
local function retry_ms(excess)
  local rate = drain_rate(now)
  if rate == 0 then return FULL_RETRY_MS end
  return math.floor(math.max(200, math.min(math.max(excess, record.size) / rate, MAX_RETRY_MS)))
end

local function refused(code, bound, amount, most)
  local excess = amount - tonumber(most)
  if excess <= 0 then return nil end
  return {code, bound, retry_ms(bound == 'tokens' and excess or 0)}
end

local load = read_load(tenant)
local refusal = refused(3, 'requests', load[4] + load[6] + load[8] + 1, ARGV[19])
  or refused(3, 'tokens', load[5] + load[7] + load[9] + record.size, ARGV[20])
  or refused(3, 'bytes', load[10] + record.bytes, ARGV[21])
  or refused(4, 'requests', load[1] + 1, ARGV[22])
  or refused(4, 'tokens', load[2] + record.size, ARGV[23])
  or refused(4, 'bytes', load[3] + record.bytes, ARGV[24])
if refusal then return refusal end

if not origin then
  origin = ARGV[17]
  redis.call('SET', origin_key, origin)
  -- The store keeps a small hash as a list, which it scans for each tenant, unless a value is as long.
  redis.call('HSET', load_key, 'form', string.rep('0', 65))
end
enter_lane(id, record, load)
save_record(id, record)
redis.call('SET', envelope_key(id), ARGV[3])
set_timer(id, record.due, record.grace, now)
redis.call('ZADD', index_key(tenant), record.place, id)
if idem ~= '' then
  redis.call('HSET', idem_key(idem), 'id', id, 'digest', digest)
end
announce(record, now)
return {0, id, record.due - now, origin}
