-- ARGV: lease_ms, dead_letter_ms, then four blobs each of a request that is expired, abandoned,
-- dead-lettered. Returns {expired, reaped, abandoned, dead-lettered, has more}.
local EXPIRED, ABANDONED, DEAD = 3, 7, 11
local lease_ms, dead_letter_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()
local budget = MAX_SWEEP
local has_more = 0
local expired, reaped, abandoned, dead = 0, 0, 0, 0

local sweeper = redis.call('HMGET', state_key, 'swept', 'backlog', 'hold')
local swept, hold = tonumber(sweeper[1] or now), tonumber(sweeper[3] or 0)
local age = now - swept
if sweeper[1] and sweeper[2] ~= '1' and age >= 0 and age < SWEEP_INTERVAL_MS then
  return {0, 0, 0, 0, 0}
end

local function overdue(key)
  if budget == 0 then
    has_more = 1
    return {}
  end
  local ids = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, budget)
  if #ids == budget then has_more = 1 end
  budget = budget - #ids
  return ids
end

-- A lease that lapses no later than the hold ends was not renewed since an outage, which may be why:
-- its worker is not taken for dead of this request.
local function reap(id, record)
  local has_progress = record.tokens > record.claim_tokens
  local has_died = tonumber(redis.call('ZSCORE', leases_key, id)) > hold
  if has_progress then record.deaths = 0 elseif has_died then record.deaths = record.deaths + 1 end
  if record.alone ~= '' and has_died and not has_progress then
    end_by_store(id, record, now, DEAD, 'dead-lettered', dead_letter_ms)
    dead = dead + 1
  else
    requeue(id, record, now, 'lost-worker')
  end
end

-- A request in the set of timers is over its deadline, or without readers since its grace; while
-- readers may not have been able to renew, they get until the end of the hold.
local function ring(id, record)
  if record.due <= now then
    end_by_store(id, record, now, EXPIRED, 'expired')
    expired = expired + 1
  elseif now >= hold then
    end_by_store(id, record, now, ABANDONED, 'abandoned')
    abandoned = abandoned + 1
  else
    redis.call('ZADD', timers_key, math.min(record.due, hold), id)
  end
end

local function each_overdue(key, state, act)
  for _, id in ipairs(overdue(key)) do
    local record = read_record(id)
    if record and state[record.state] then act(id, record) else redis.call('ZREM', key, id) end
  end
end

-- After a gap nobody could renew anything: whoever lives gets one lease time to do so. A clock set
-- back would lengthen leases, and this hold, by as much.
if age > GAP_LEASE_SHARE * lease_ms then hold = now + lease_ms end
hold = math.min(hold, now + lease_ms)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases_key, now + lease_ms + 1, '+inf',
    'LIMIT', 0, MAX_BATCH)) do
  redis.call('ZADD', leases_key, now + lease_ms, id)
end

each_overdue(timers_key, {W = true, L = true}, ring)
if now >= hold then
  each_overdue(leases_key, {L = true}, function(id, record)
    reaped = reaped + 1
    reap(id, record)
  end)
end
each_overdue(expiring_key, {E = true}, forget)
local gone = redis.call('ZRANGEBYSCORE', workers_key, '-inf', now, 'LIMIT', 0, MAX_BATCH)
for _, worker in ipairs(gone) do
  redis.call('ZREM', workers_key, worker)
  redis.call('ZREM', waits_key, worker)
  redis.call('SREM', drains_key, worker)
  redis.call('HDEL', reports_key, worker)
  redis.call('HDEL', held_key, worker)
end
-- Also of workers that never reported.
local absent = redis.call('ZRANGEBYSCORE', waits_key, '-inf', now, 'LIMIT', 0, MAX_BATCH)
if #absent > 0 then
  redis.call('ZREM', waits_key, unpack(absent))
  redis.call('HDEL', held_key, unpack(absent))
end
redis.call('ZREMRANGEBYSCORE', prints_key, '-inf', now - 2 * ORPHAN_MS)
redis.call('HSET', state_key, 'swept', now, 'backlog', has_more, 'hold', hold)
return {expired, reaped, abandoned, dead, has_more}
