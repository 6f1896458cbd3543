-- ARGV: 1 worker, 2 nonce, 3 limit, 4 held, 5 fingerprint, 6 lease_ms; what the worker offers:
-- 7 envelope versions, 8 context tokens, 9 media, 10 adapters; its room: 11 sequences, 12 tokens,
-- 13 and 14 those that are free; 15 four blobs of an expired request.
-- Returns {next_check_ms, 1 when it may take hints, claimed ...}; a claimed one is {id, epoch,
-- envelope, tries, waited, remaining, next, ids, drafted, accepted, alone, charged, fingerprint,
-- sequences}.
local worker, nonce, fp = ARGV[1], ARGV[2], ARGV[5]
local limit, held = math.min(tonumber(ARGV[3]), MAX_CLAIM), tonumber(ARGV[4])
local lease_ms = tonumber(ARGV[6])
local versions, adapters = ' ' .. ARGV[7] .. ' ', ' ' .. ARGV[10] .. ' '
local context, media = tonumber(ARGV[8]), ARGV[9]
local all = {sequences = tonumber(ARGV[11]), tokens = tonumber(ARGV[12])}
local free = {sequences = tonumber(ARGV[13]), tokens = tonumber(ARGV[14])}
local EXPIRED = 15
local HEAD = 2
local AGES = {['2'] = AGE_STANDARD_MS, ['3'] = AGE_BATCH_MS}
local now_at = now_us()
local now = math.floor(now_at / 1000)
-- The server formats a text faster than a number.
local lapses = string.format('%.0f', now + lease_ms)
local reply = {MAX_WAIT_MS, 1}
local looked = 0
local drained = 0

-- What this worker may take -------------------------------------------------------------------------

-- What an engine began is left to its like while such a worker claims.
local function is_orphaned(pinned)
  local seen = redis.call('ZSCORE', prints_key, pinned)
  return not seen or tonumber(seen) < now - ORPHAN_MS
end

local function is_able(lane)
  local version, bucket, kinds, adapter, pinned =
    string.match(lane, '^%d|(%d+)|(%d+)|(%a*)|([^|]*)|(.*)$')
  if pinned ~= '' and pinned ~= fp and not is_orphaned(pinned) then return false end
  if tonumber(bucket) > context then return false end
  if not string.find(versions, ' ' .. version .. ' ', 1, true) then return false end
  if adapter ~= '' and not string.find(adapters, ' ' .. adapter .. ' ', 1, true) then
    return false
  end
  for kind in string.gmatch(kinds, '%a') do
    if not string.find(media, kind, 1, true) then return false end
  end
  return true
end

local able = {['0'] = {}, ['1'] = {}, ['2'] = {}, ['3'] = {}}
for _, lane in ipairs(redis.call('SMEMBERS', lanes_key)) do
  local lanes = able[string.sub(lane, 1, 1)]
  if is_able(lane) then lanes[#lanes + 1] = lane end
end

-- Leasing -------------------------------------------------------------------------------------------

local function describe(id, record)
  reply[#reply + 1] = {
    id, record.epoch, redis.call('GET', envelope_key(id)) or '', record.tries,
    math.max(now - math.floor(record.place / 1000), 0), math.max(record.due - now, 0),
    record.next, redis.call('GET', ids_key(id)) or '', record.drafted, record.accepted,
    record.alone == '' and 0 or 1, record.charged, record.fp, record.seqs,
  }
end

-- The class's virtual time is where the tenant stood that it served last.
local function pay(record, at)
  local clock = tonumber(redis.call('HGET', clock_key, record.class) or 0)
  if at > clock then redis.call('HSET', clock_key, record.class, at) end
  charge(record, record.size, at)
  record.charged = record.size
  drained = drained + record.size
  if redis.call('ZCARD', served_key(record.class)) > MAX_TENANTS_REMEMBERED then
    redis.call('ZREMRANGEBYRANK', served_key(record.class), 0, MAX_BATCH - 1)
  end
end

local function lease(id, record, at, alone)
  -- A tenant of whom nobody waits any more has no place in the lane to be moved.
  leave_lane(id, record)
  if record.charged == 0 then pay(record, at) end
  record.epoch, record.tries, record.alone = record.epoch + 1, record.tries + 1, alone
  record.state, record.nonce, record.worker, record.claim_fp = 'L', nonce, worker, fp
  record.claim_next, record.claim_tokens = record.next, record.tokens
  save_record(id, record)
  if redis.call('ZADD', leases_key, lapses, id) == 1 then as_skip_list(leases_key) end
  redis.call('RPUSH', claim_key(nonce), id)
  note(id, now, 'claimed', worker)
  for name in string.gmatch(record.aff, '%S+') do
    redis.call('SET', warm_key(name), worker, 'PX', WARM_MS)
  end
  free.sequences = free.sequences - record.seqs
  free.tokens = free.tokens - record.size
  describe(id, record)
end

-- Emptying the worker for one request, one worker at a time ------------------------------------------

local reservation = redis.call('GET', reserved_key) or ''

local function reserve(id)
  local mine = worker .. ' ' .. id
  if reservation ~= '' and reservation ~= mine then return false end
  redis.call('SET', reserved_key, mine, 'PX', lease_ms)
  reservation = mine
  return true
end

local function unreserve(id)
  if string.match(reservation, ' (%S+)$') == id then
    redis.call('DEL', reserved_key)
    reservation = ''
  end
end

local function is_reserved_by_another(id)
  local by, other = string.match(reservation, '^(%S+) (%S+)$')
  return other == id and by ~= worker
end

-- Choosing --------------------------------------------------------------------------------------------

local function is_warm(record)
  for name in string.gmatch(record.aff, '%S+') do
    if redis.call('GET', warm_key(name)) == worker then return true end
  end
  return false
end

-- Whether a fresh request is left for a worker that is warm for it, waits for work and has not much
-- more of it than this one.
local function is_held(record)
  local left_ms = HOLD_MS - (now - record.place / 1000)
  if record.tries > 0 or left_ms <= 0 then return false end
  local owner = warm_waiting(record, now)
  if not owner or owner == worker then return false end
  if tonumber(redis.call('HGET', held_key, owner) or 0) > held + HOLD_SLACK then return false end
  reply[1] = math.max(1, math.min(reply[1], math.ceil(left_ms)))
  return true
end

-- 'take', 'prefer' (take unless it finds one that it is warm for), 'pass' (not now) and 'full' (no
-- room now: what follows may overtake it a little), 'skip' (nothing for this worker), 'gone'.
local function judge(id, record)
  if not record or record.state ~= 'W' or record.due <= now then return 'gone' end
  if record.seqs > all.sequences or record.size > all.tokens then return 'skip' end
  if record.seqs > free.sequences or record.size > free.tokens then
    record.skips = record.skips + 1
    save_record(id, record)
    return is_reserved_by_another(id) and 'skip' or 'full'
  end
  if record.aff == '' then return 'take' end
  if is_held(record) then
    record.holds = record.holds + 1
    save_record(id, record)
    return 'pass'
  end
  return is_warm(record) and 'take' or 'prefer'
end

local function remove(id, record, lane, tenant)
  if record and record.state == 'W' then return end_by_store(id, record, now, EXPIRED, 'expired') end
  -- Its record vanished; what the lane tells of it is enough to leave it.
  local class, needs, pinned = string.match(lane, '^(%d)|(%d+|%d+|%a*|[^|]*)|(.*)$')
  local lost = named({}, {})
  lost.class, lost.deaths = class == '0' and '2' or class, class == '0' and SUSPECT_DEATHS or 0
  lost.needs, lost.fp, lost.tenant = needs, pinned, tenant
  leave_lane(id, lost)
end

-- The first of a class's tenants in the order of their virtual time, suspects by their age.
local function tenants(class, count)
  local found = {}
  for _, lane in ipairs(able[class]) do
    local key = class == '0' and heads_key(lane) or lane_key(lane)
    local flat = redis.call('ZRANGE', key, 0, count - 1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      found[#found + 1] = {tenant = flat[i], at = tonumber(flat[i + 1]), lane = lane, place = 0}
      if #able[class] > 1 then
        -- What stands in several lanes of one tenant comes by age.
        found[#found].place = tonumber(redis.call('ZSCORE', heads_key(lane), flat[i]))
      end
    end
  end
  table.sort(found, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    if a.tenant ~= b.tenant then return a.tenant < b.tenant end
    return a.place < b.place
  end)
  return found
end

local verdicts = {}

-- The request of a class that this worker gets, else nil and the one that waits for its room. A
-- tenant that is passed is overtaken by no more than its own next charge, which keeps the bound of
-- fairness.
local function choose(class, count)
  local latest, blocked, preferred, preferences = math.huge, nil, nil, 0
  local found = tenants(class, count)
  for _, each in ipairs(found) do
    if each.at > latest or looked >= MAX_CLAIM then return preferred, blocked end
    local id = redis.call('ZRANGE', fifo_of(each.lane, each.tenant), 0, 0)[1]
    local record = id and read_record(id)
    local verdict = verdicts[id]
    if not verdict then
      looked = looked + 1
      verdict = judge(id, record)
      if verdict ~= 'take' and verdict ~= 'prefer' and id then verdicts[id] = verdict end
    end
    each.id, each.record = id, record
    if verdict == 'gone' then
      if id then remove(id, record, each.lane, each.tenant) end
      return choose(class, count)
    end
    if verdict == 'take' then return each, blocked end
    -- Who stands behind the first of a lane has not been looked at.
    if count == 1 then return choose(class, MAX_CLAIM) end
    if verdict == 'prefer' then
      preferred = preferred or each
      preferences = preferences + 1
      if preferences >= MAX_PREFERENCE then return preferred, blocked end
    end
    if verdict ~= 'skip' then
      latest = math.min(latest, each.at + record.size / record.weight)
    end
    if verdict == 'full' then blocked = blocked or id end
  end
  return preferred, blocked
end

local exhausted = {}

local function oldest_ms(class)
  local oldest = math.huge
  for _, lane in ipairs(able[class]) do
    local head = redis.call('ZRANGE', heads_key(lane), 0, 0, 'WITHSCORES')
    if head[2] then oldest = math.min(oldest, tonumber(head[2])) end
  end
  return (now_at - oldest) / 1000
end

local passed = redis.call('HMGET', clock_key, 'passed2', 'passed3')
passed = {['2'] = tonumber(passed[1] or 0), ['3'] = tonumber(passed[2] or 0)}

local function is_aged(class)
  return #able[class] > 0 and not exhausted[class] and oldest_ms(class) > AGES[class]
end

-- Better classes first; an aged class that was passed over often enough has its turn before them.
local function next_class()
  for _, class in ipairs({'3', '2'}) do
    if passed[class] >= AGED_TURN and is_aged(class) then return class, true end
  end
  for _, class in ipairs({'1', '2', '3'}) do
    if #able[class] > 0 and not exhausted[class] then return class, false end
  end
end

local function count_turn(class)
  for _, other in ipairs({'2', '3'}) do
    local before = passed[other]
    if other == class then passed[other] = 0
    elseif other > class and is_aged(other) then passed[other] = before + 1 end
    if passed[other] ~= before then redis.call('HSET', clock_key, 'passed' .. other, passed[other]) end
  end
end

-- Taking ----------------------------------------------------------------------------------------------

local function take_ready()
  while #reply - HEAD < limit and looked < MAX_CLAIM do
    local class, has_turn = next_class()
    if not class then return end
    local chosen, blocked = choose(class, 1)
    if chosen then
      count_turn(class)
      lease(chosen.id, chosen.record, chosen.at, '')
      unreserve(chosen.id)
    else
      exhausted[class] = true
      -- What found no room too often gets the whole worker: it takes nothing else until it fits.
      if blocked and reserve(blocked) then
        reply[1], reply[2] = RESERVED_CHECK_MS, 0
        return
      end
      if blocked and has_turn then return end
    end
  end
end

local function take_suspect()
  local chosen = choose('0', 1)
  if not chosen then return false end
  lease(chosen.id, chosen.record, chosen.at, '1')
  redis.call('HSET', alone_key, worker, chosen.id)
  unreserve(chosen.id)
  return true
end

local function runs_suspect()
  local id = redis.call('HGET', alone_key, worker)
  if not id then return false end
  local record = read_record(id)
  if record and record.state == 'L' and record.worker == worker then return true end
  redis.call('HDEL', alone_key, worker)
  return false
end

-- A busy worker empties itself for a suspect.
local function is_emptying()
  if held == 0 or redis.call('HLEN', alone_key) > 0 then return false end
  local suspect, blocked = choose('0', 1)
  local id = suspect and suspect.id or blocked
  return id ~= nil and reserve(id)
end

local function has_ready() return #able['1'] + #able['2'] + #able['3'] > 0 end

local function finish()
  local count = #reply - HEAD
  if count == 0 and looked >= MAX_CLAIM then reply[1] = 1 end
  if count > 0 then
    redis.call('PEXPIRE', claim_key(nonce), lease_ms)
    if redis.call('EXISTS', lanes_key) == 1 then post_hint() end
    if drained > 0 then note_drained(drained, now) end
  end
  if redis.call('EXISTS', lanes_key) == 0 then redis.call('DEL', wake_key) end
  redis.call('ZADD', prints_key, now, fp)
  if count < limit and reply[2] == 1 then
    redis.call('HSET', held_key, worker, held + count)
    redis.call('ZADD', waits_key, now + reply[1] + HOLD_MS, worker)
  else
    redis.call('HDEL', held_key, worker)
    redis.call('ZREM', waits_key, worker)
  end
  return reply
end

local earlier = redis.call('LRANGE', claim_key(nonce), 0, -1)
for _, id in ipairs(earlier) do
  local record = read_record(id)
  if record and record.state == 'L' and record.nonce == nonce then
    redis.call('ZADD', leases_key, lapses, id)
    describe(id, record)
  end
end
if #earlier > 0 then return reply end
if runs_suspect() then
  reply[2] = 0
  return finish()
end
if is_emptying() then
  reply[1], reply[2] = RESERVED_CHECK_MS, 0
  -- It may have come with a hint, which is for others then.
  if redis.call('LLEN', wake_key) == 0 and has_ready() then post_hint() end
  return finish()
end

-- While one suspect runs, others wait behind ordinary work, so that they never take all workers.
local is_first = held == 0 and redis.call('HLEN', alone_key) == 0
if not (is_first and take_suspect()) then
  take_ready()
  if #reply == HEAD and held == 0 and reply[2] == 1 then take_suspect() end
end
return finish()
