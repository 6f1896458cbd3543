-- Shared by all scripts, with accounts.lua and endings.lua behind it; lua.py gives each script the
-- paragraphs that it uses, so a paragraph is a definition and uses only what stands above it.
-- A record's `state` is 'W' (waiting), 'L' (leased) or 'E' (ended).

local function now_ms() return math.floor(now_us() / 1000) end

-- A server without memory left lets a script go on that has written: what frees memory, or keeps alive
-- what was accepted, begins with a write that changes nothing.
local function pass_without_memory() redis.call('PERSIST', leases_key) end

-- A record's fields. All are stored in this order, numbers and texts, without their names; new ones go
-- to the end of their list, here and in save_record.
local function named(n, t)
  return {
    place = n[1] or 0, due = n[2] or 0, keep = n[3] or 0, cost = n[4] or 0, size = n[5] or 0,
    bytes = n[6] or 0, seqs = n[7] or 0, weight = n[8] or 0, epoch = n[9] or 0, next = n[10] or 0,
    tokens = n[11] or 0, claim_next = n[12] or 0, claim_tokens = n[13] or 0, drafted = n[14] or 0,
    accepted = n[15] or 0, tries = n[16] or 0, deaths = n[17] or 0, charged = n[18] or 0,
    ended = n[19] or 0, expires = n[20] or 0, holds = n[21] or 0, skips = n[22] or 0,
    read = n[23] or 0, logged = n[24] or 0, reserved = n[25] or 0, bound = n[26] or 0,
    state = t[1] or '', tenant = t[2] or '', class = t[3] or '', needs = t[4] or '',
    grace = t[5] or '', idem = t[6] or '', aff = t[7] or '', inbox = t[8] or '', nonce = t[9] or '',
    worker = t[10] or '', alone = t[11] or '', claim_fp = t[12] or '', fp = t[13] or '',
    finisher = t[14] or '',
  }
end

-- Packed into one string a record takes half the memory and time of a hash.
local function save_record(id, r)
  local numbers = {
    r.place, r.due, r.keep, r.cost, r.size, r.bytes, r.seqs, r.weight, r.epoch, r.next, r.tokens,
    r.claim_next, r.claim_tokens, r.drafted, r.accepted, r.tries, r.deaths, r.charged, r.ended,
    r.expires, r.holds, r.skips, r.read, r.logged,
  }
  if r.reserved + r.bound > 0 then numbers[25], numbers[26] = r.reserved, r.bound end
  redis.call('SET', record_key(id), cmsgpack.pack(numbers, {
    r.state, r.tenant, r.class, r.needs, r.grace, r.idem, r.aff, r.inbox, r.nonce, r.worker, r.alone,
    r.claim_fp, r.fp, r.finisher,
  }))
end

local function read_record(id)
  local packed = redis.call('GET', record_key(id))
  return packed and named(cmsgpack.unpack(packed)) or nil
end

-- Of a long life the first steps and the latest one are kept.
local function note(id, now, what, detail)
  local key, step = life_key(id), string.format('%.0f %s %s', now, what, detail or '')
  if redis.call('RPUSH', key, step) > MAX_BATCH then
    redis.call('RPOP', key)
    redis.call('LSET', key, -1, step)
  end
end

-- Whether nothing is kept of it once its readers got its end.
local function is_fleeting(record) return record.bound == 1 and record.keep == 0 end

-- The store keeps a small sorted set as a list, which it scans, until it has had a long member: this
-- makes a skip list of one that has just been made.
local function as_skip_list(key)
  if redis.call('ZCARD', key) > 1 then return end
  local long = string.rep('0', 65)
  redis.call('ZADD', key, 0, long)
  redis.call('ZREM', key, long)
end

-- When a sweep has to look at a request: it expires, or its readers are gone.
local function set_timer(id, due, grace, now)
  local at = due
  if grace ~= '' then at = math.min(due, now + tonumber(grace)) end
  if redis.call('ZADD', timers_key, at, id) == 1 then as_skip_list(timers_key) end
end

-- Protocol buffers: StreamGenerateContentResponse{events=[Event{offset=1, token_start=2,
-- token_end=3, finished=12}]}
local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

local function terminal_response(offset, tokens, finished)
  local event = ''
  if offset > 0 then event = '\8' .. varint(offset) end
  if tokens > 0 then event = event .. '\16' .. varint(tokens) .. '\24' .. varint(tokens) end
  event = event .. '\98' .. varint(#finished) .. finished
  return '\10' .. varint(#event) .. event
end

-- Lanes: a lane is named class|needs|fingerprint. Class 0 are the suspects. What has tokens of one
-- fingerprint stands apart from what any worker may take.
local function lane_of(record)
  local class = record.deaths >= SUSPECT_DEATHS and '0' or record.class
  return class .. '|' .. record.needs .. '|' .. record.fp
end

local function fifo_of(lane, tenant) return fifo_key(lane .. ':' .. tenant) end

local function lanes_of_class(class)
  local found = {}
  for _, lane in ipairs(redis.call('SMEMBERS', lanes_key)) do
    if string.sub(lane, 1, 1) == class then found[#found + 1] = lane end
  end
  return found
end

-- Where a tenant stands among those of a class; one with nothing waiting starts at the class's
-- current virtual time. `lanes` are those of the class.
local function virtual_time(class, tenant, lanes)
  for _, lane in ipairs(lanes) do
    local at = redis.call('ZSCORE', lane_key(lane), tenant)
    if at then return tonumber(at) end
  end
  local own = redis.call('ZSCORE', served_key(class), tenant)
  return math.max(tonumber(own or 0), tonumber(redis.call('HGET', clock_key, class) or 0))
end

-- Moves a tenant in virtual time, from where it stands if that is known, by tokens that it was given or
-- gets back.
local function charge(record, tokens, at)
  if tokens == 0 then return end
  local class, tenant = record.class, record.tenant
  local lanes = lanes_of_class(class)
  at = (at or virtual_time(class, tenant, lanes)) + tokens / record.weight
  redis.call('ZADD', served_key(class), at, tenant)
  for _, lane in ipairs(lanes) do
    redis.call('ZADD', lane_key(lane), 'XX', at, tenant)
  end
end

-- Only what was charged is corrected, once, when the request ends.
local function correct(record, tokens)
  if record.charged > 0 then charge(record, tokens - record.charged) end
end

-- What waits: requests, tokens and bytes of a tenant, requests and tokens of each class, all bytes.
local function read_load(tenant)
  local load = redis.call('HMGET', load_key, 'n:' .. tenant, 't:' .. tenant, 'b:' .. tenant,
    'n1', 't1', 'n2', 't2', 'n3', 't3', 'b')
  for i = 1, 10 do load[i] = tonumber(load[i] or 0) end
  return load
end

-- `load` is what `read_load` gives.
local function count_waiting(record, sign, load)
  local class, tenant, at = record.class, record.tenant, 2 * tonumber(record.class) + 2
  local count, all = math.max(load[1] + sign, 0), math.max(load[at] + sign, 0)
  local size, bytes = sign * record.size, sign * record.bytes
  redis.call('HSET', load_key, 'n' .. class, all,
    't' .. class, all > 0 and math.max(load[at + 1] + size, 0) or 0, 'b', math.max(load[10] + bytes, 0))
  if count > 0 then
    redis.call('HSET', load_key, 'n:' .. tenant, count,
      't:' .. tenant, math.max(load[2] + size, 0), 'b:' .. tenant, math.max(load[3] + bytes, 0))
  else
    redis.call('HDEL', load_key, 'n:' .. tenant, 't:' .. tenant, 'b:' .. tenant)
  end
end

-- `load` may be given if it is at hand.
local function enter_lane(id, record, load)
  local lane, tenant = lane_of(record), record.tenant
  local fifo = fifo_of(lane, tenant)
  record.state = 'W'
  redis.call('ZADD', fifo, record.place, id)
  local size = redis.call('ZCARD', fifo)
  if size == 1 or record.epoch > 0 and redis.call('ZRANK', fifo, id) == 0 then
    if size == 1 then
      local class = string.sub(lane, 1, 1)
      local at = virtual_time(class, tenant, lanes_of_class(class))
      redis.call('ZADD', lane_key(lane), at, tenant)
      if redis.call('SADD', lanes_key, lane) == 1 then as_skip_list(lane_key(lane)) end
    end
    if redis.call('ZADD', heads_key(lane), record.place, tenant) == 1 then
      as_skip_list(heads_key(lane))
    end
  end
  count_waiting(record, 1, load or read_load(tenant))
end

local function leave_lane(id, record)
  local lane, tenant = lane_of(record), record.tenant
  local fifo = fifo_of(lane, tenant)
  redis.call('ZREM', fifo, id)
  local head = redis.call('ZRANGE', fifo, 0, 0, 'WITHSCORES')
  if head[1] then
    redis.call('ZADD', heads_key(lane), head[2], tenant)
  else
    redis.call('ZREM', lane_key(lane), tenant)
    redis.call('ZREM', heads_key(lane), tenant)
    if redis.call('EXISTS', lane_key(lane)) == 0 then redis.call('SREM', lanes_key, lane) end
  end
  count_waiting(record, -1, read_load(tenant))
end

-- The worker that is warm for a request and waits for work, by its strongest such affinity.
local function warm_waiting(record, now)
  for name in string.gmatch(record.aff, '%S+') do
    local worker = redis.call('GET', warm_key(name))
    if worker then
      local until_ms = redis.call('ZSCORE', waits_key, worker)
      if until_ms and tonumber(until_ms) > now then return worker end
    end
  end
end

local function post_hint()
  if redis.call('LLEN', wake_key) < MAX_HINTS then redis.call('LPUSH', wake_key, '1') end
end

local function announce(record, now)
  post_hint()
  local worker = record.aff ~= '' and record.tries == 0 and warm_waiting(record, now)
  if worker and redis.call('EXISTS', nudge_key(worker)) == 0 then
    redis.call('LPUSH', nudge_key(worker), '1')
    redis.call('PEXPIRE', nudge_key(worker), MAX_WAIT_MS)
  end
end

local function drain_rate(now)
  local pace = redis.call('HMGET', pace_key, 'since', 'left', 'before')
  local age = now - tonumber(pace[1] or now)
  if not pace[1] or age >= 2 * PACE_MS or age < 0 then return 0 end
  local left, before = tonumber(pace[2]), tonumber(pace[3])
  if before == 0 then return left / math.max(age, PACE_MS / 5) end
  return (left + before) / (age + PACE_MS)
end

-- Counts tokens that left the queue, in two windows: the drain rate is theirs.
local function note_drained(tokens, now)
  local pace = redis.call('HMGET', pace_key, 'since', 'left')
  local since, left = tonumber(pace[1] or 0), tonumber(pace[2] or 0)
  local age = now - since
  if age >= 0 and age < PACE_MS then
    redis.call('HINCRBY', pace_key, 'left', tokens)
  else
    local before = age >= 0 and age < 2 * PACE_MS and left or 0
    redis.call('HSET', pace_key, 'since', now, 'left', tokens, 'before', before)
  end
end

local function mean_output()
  return tonumber(redis.call('HGET', pace_key, 'mean') or FIRST_OUTPUT_TOKENS)
end

local function learn_output(tokens)
  local mean = mean_output()
  redis.call('HSET', pace_key, 'mean', string.format('%.2f', mean + (tokens - mean) / OUTPUT_MEMORY))
end

-- Leases
local function holds(record, epoch, nonce)
  return record and record.state == 'L'
    and record.epoch == tonumber(epoch) and record.nonce == nonce
end

-- Whether the store forgot the claim that gave this lease: it fell back to an older state.
local function is_rewound(record, epoch)
  return not record or record.state ~= 'E' and record.epoch < tonumber(epoch)
end

local function release(id, record)
  redis.call('ZREM', leases_key, id)
  if record.alone ~= '' then redis.call('HDEL', alone_key, record.worker) end
  record.alone = ''
end

local function requeue(id, record, now, why)
  release(id, record)
  enter_lane(id, record)
  save_record(id, record)
  note(id, now, why, record.worker)
  post_hint()
end
