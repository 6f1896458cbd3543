-- ARGV: 1 id, 2 tenant, 3 envelope, 4 class, 5 deadline_ms, 6 keep_ms, 7 grace_ms or '', 8 idem or
-- '', 9 digest, 10 prompt tokens, 11 output tokens at most of each sequence, 12 weight,
-- 13 sequences, 14 needs, 15 affinity, 16 follower or '', 17 name for a new history, 18 what alone is
-- accepted: '' anything, 'shed' (the store is nearly full) or 'known' what is there already,
-- then the bounds: 19 requests, 20 tokens, 21 bytes, 22-24 those of the tenant;
-- 25 replicas that the caller waits for, 26-28 the tenant's limits, each 0 for none: requests and
-- tokens a minute, generations at once; 29 keys of its media, 30 1 when the retention holds for a
-- dead letter too.
-- Returns {0 new | 1 earlier, id, remaining ms, origin} or {2 request id reused, id} or
-- {3 queue full | 4 quota exceeded | 5 store full, which bound, retry after ms} or {6 not known} or
-- {7 deleted}.
local id, tenant, idem, digest = ARGV[1], ARGV[2], ARGV[8], ARGV[9]
local now_at = now_us()
local now = math.floor(now_at / 1000)
local origin = redis.call('GET', origin_key)

-- Whoever repeats is about to read: its grace starts anew before anybody can take it for gone. Who
-- waits for replicas waits for what this call wrote, so something is written.
local function repeated(code, id, record)
  pass_without_memory()
  if ARGV[25] ~= '0' then redis.call('SET', origin_key, origin) end
  if record.state ~= 'E' then set_timer(id, record.due, record.grace, now) end
  return {code, id, math.max(record.due - now, 0), origin or ''}
end

local known = read_record(id)
if known then return repeated(0, id, known) end
if redis.call('EXISTS', gone_key(id)) == 1 then return {7} end
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

local requests_a_minute, tokens_a_minute = tonumber(ARGV[26]), tonumber(ARGV[27])
local most_live = tonumber(ARGV[28])
local has_limits = requests_a_minute + tokens_a_minute + most_live > 0
local bucket = has_limits and redis.call('HMGET', quota_key(tenant), 'requests', 'tokens') or {}
local requests_full, tokens_full = tonumber(bucket[1] or 0), tonumber(bucket[2] or 0)

local function over_bucket(bound, full, amount, per_minute)
  local wait = per_minute > 0 and bucket_wait(full, amount, per_minute, now) or 0
  return wait > 0 and {4, bound, math.ceil(wait)} or nil
end

local function over_live()
  if most_live == 0 or count_live(tenant, most_live) < most_live then return nil end
  local first = redis.call('ZRANGE', live_key(tenant), 0, 0, 'WITHSCORES')
  -- At its deadline one of them ends.
  return {4, 'max_concurrent', math.max(1, math.min(retry_ms(0), tonumber(first[2]) - now))}
end

refusal = over_bucket('requests_per_minute', requests_full, 1, requests_a_minute)
  or over_bucket('tokens_per_minute', tokens_full, record.size, tokens_a_minute)
  or over_live()
if refusal then return refusal end

local function reserve()
  record.reserved = record.size
  add_live(tenant, id, record.due, now)
  if requests_a_minute > 0 then
    requests_full = math.max(requests_full, now) + MINUTE_MS / requests_a_minute
  end
  local pace = tokens_a_minute > 0 and MINUTE_MS / tokens_a_minute or 0
  tokens_full = math.max(tokens_full, now) + record.size * pace
  redis.call('HSET', quota_key(tenant), 'requests', requests_full, 'tokens', tokens_full, 'pace', pace)
  redis.call('PEXPIRE', quota_key(tenant), math.ceil(tokens_full - now) + QUOTA_MS)
end

if not origin then
  origin = ARGV[17]
  redis.call('SET', origin_key, origin)
  -- The store keeps a small hash as a list, which it scans for each tenant, unless a value is as long.
  redis.call('HSET', load_key, 'form', string.rep('0', 65))
end
if has_limits then reserve() end
if ARGV[29] ~= '' then
  -- Longer than it holds them.
  redis.call('SET', media_key(id), ARGV[29], 'PX', ARGV[5] + ARGV[6] + MIN_RETENTION_MS)
end
record.bound = tonumber(ARGV[30])
-- Those who scale the workers look every few seconds: they are told when the first one comes.
if load[4] + load[6] + load[8] == 0 and redis.call('ZCARD', leases_key) == 0 then
  redis.call('XADD', arrivals_key, 'MAXLEN', 1, '*', 'class', record.class)
end
redis.call('HINCRBY', accepted_key, 'n' .. record.class, 1)
redis.call('HINCRBY', accepted_key, 't' .. record.class, record.size)
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
