-- ARGV: lease_ms, dead_letter_ms, then four blobs each of a request that is expired, abandoned,
-- dead-lettered. Returns {expired, reaped, abandoned, dead-lettered, has more}.
local EXPIRED, ABANDONED, DEAD = 3, 7, 11
local lease_ms, dead_letter_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()
local budget = MAX_BATCH
local has_more = 0

local sweeper = redis.call('HMGET', state_key, 'swept', 'backlog', 'hold')
local swept, hold = tonumber(sweeper[1] or now), tonumber(sweeper[3] or 0)
local age = now - swept
if sweeper[1] and sweeper[2] ~= '1' and age >= 0 and age < SWEEP_INTERVAL_MS then
  return {0, 0, 0, 0, 0}
end

local function overdue(key)
  local ids = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, budget)
  if #ids == budget then has_more = 1 end
  budget = budget - #ids
  return ids
end

local function end_all(ids, at)
  local count = 0
  for _, id in ipairs(ids) do
    local record = read_record(id)
    if record and record.state ~= 'E' then
      end_by_store(id, record, at)
      count = count + 1
    else
      redis.call('ZREM', deadlines_key, id)
      redis.call('ZREM', readers_key, id)
    end
  end
  return count
end

-- A lease that lapses no later than the hold ends was not renewed since an outage, which may be why:
-- its worker is not taken for dead of this request.
local function reap(id, record)
  local has_progress = record.tokens > record.claim_tokens
  local has_died = tonumber(redis.call('ZSCORE', leases_key, id)) > hold
  if has_progress then record.deaths = 0 elseif has_died then record.deaths = record.deaths + 1 end
  if record.alone ~= '' and has_died and not has_progress then
    end_by_store(id, record, DEAD, dead_letter_ms, now)
    return 1
  end
  requeue(id, record)
  return 0
end

local function reap_all()
  local reaped, dead = 0, 0
  for _, id in ipairs(overdue(leases_key)) do
    local record = read_record(id)
    if record and record.state == 'L' then
      reaped, dead = reaped + 1, dead + reap(id, record)
    else
      redis.call('ZREM', leases_key, id)
    end
  end
  return reaped, dead
end

-- After a gap nobody could renew anything: whoever lives gets one lease time to do so. A clock set
-- back would lengthen leases, and this hold, by as much.
if age > GAP_LEASE_SHARE * lease_ms then hold = now + lease_ms end
hold = math.min(hold, now + lease_ms)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases_key, now + lease_ms + 1, '+inf',
    'LIMIT', 0, MAX_BATCH)) do
  redis.call('ZADD', leases_key, now + lease_ms, id)
end

local expired = end_all(overdue(deadlines_key), EXPIRED)
local reaped, dead, abandoned = 0, 0, 0
if now >= hold then
  if budget > 0 then reaped, dead = reap_all() end
  if budget > 0 then abandoned = end_all(overdue(readers_key), ABANDONED) end
end
local gone = redis.call('ZRANGEBYSCORE', workers_key, '-inf', now, 'LIMIT', 0, MAX_BATCH)
for _, worker in ipairs(gone) do
  redis.call('ZREM', workers_key, worker)
  redis.call('HDEL', reports_key, worker)
end
redis.call('HSET', state_key, 'swept', now, 'backlog', has_more, 'hold', hold)
return {expired, reaped, abandoned, dead, has_more}
