-- Shared like the prelude: what a tenant may use, and what its generations took.
-- A record's `reserved` is what it was charged in tokens, 0 for a tenant without limits; `bound` is 1
-- when its retention holds for its dead letter too.

-- A bucket holds a minute's worth and fills evenly; it is known by when it will be full, in ms. What
-- exceeds a whole bucket needs a full one and leaves a debt. Not above 0: the amount fits.
local function bucket_wait(full, amount, per_minute, now)
  local needed = math.min(amount, per_minute) * MINUTE_MS / per_minute
  return math.max(full - now, 0) + needed - MINUTE_MS
end

-- How many of a tenant's generations wait or run. Where they are as many as may, those that a script
-- of an earlier release ended are taken off, which knew of no such set.
local function count_live(tenant, most)
  local count = redis.call('ZCARD', live_key(tenant))
  if count < most then return count end
  for _, id in ipairs(redis.call('ZRANGE', live_key(tenant), 0, MAX_SWEEP - 1)) do
    local record = read_record(id)
    if not record or record.state == 'E' then
      count = count - redis.call('ZREM', live_key(tenant), id)
    end
  end
  return count
end

-- The set outlasts every deadline in it.
local function add_live(tenant, id, due, now)
  redis.call('ZADD', live_key(tenant), due, id)
  if redis.call('PTTL', live_key(tenant)) < due - now then
    redis.call('PEXPIRE', live_key(tenant), due - now + QUOTA_MS)
  end
end

-- Empties a tenant's token bucket by so many, or fills it when negative. Its rate is the one of the
-- last submission; without one nothing is counted.
local function take_tokens(tenant, tokens, now)
  local bucket = redis.call('HMGET', quota_key(tenant), 'tokens', 'pace')
  if not bucket[2] then return end
  local full = math.max(tonumber(bucket[1]), now) + tokens * tonumber(bucket[2])
  redis.call('HSET', quota_key(tenant), 'tokens', full)
  redis.call('PEXPIRE', quota_key(tenant), math.ceil(math.max(full - now, 0)) + QUOTA_MS)
end

-- What a tenant's request was charged is replaced by what it took.
local function settle(id, record, took, now)
  if record.reserved == 0 then return end
  redis.call('ZREM', live_key(record.tenant), id)
  take_tokens(record.tenant, took - record.reserved, now)
end

-- When a worker first had it since it came, or since it was redriven; nil when none had.
local function first_claim(id)
  local steps, first = redis.call('LRANGE', life_key(id), 0, MAX_BATCH - 1), 1
  for at = #steps, 1, -1 do
    if string.find(steps[at], ' redriven ', 1, true) then
      first = at + 1
      break
    end
  end
  return tonumber(string.match(steps[first] or '', '^%d+ '))
end

-- The usage record of a generation that ends. `entry` is that of `end_request`.
local function record_usage(id, record, now, entry)
  local created = math.floor(record.place / 1000)
  local claimed = math.max(math.min(first_claim(id) or now, now), created)
  local prompt, output = record.cost, record.tokens
  if record.tries == 0 then prompt = 0 end
  if entry.took or (entry.usage or '') ~= '' then prompt, output = entry.prompt, entry.output end
  redis.call('XADD', usage_key, '*', 'i', id, 't', record.tenant, 'o', entry.why,
    'q', claimed - created, 'r', now - claimed, 'a', record.tries, 'p', prompt, 'n', output,
    'u', entry.usage or '')
end
