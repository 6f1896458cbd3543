-- ARGV: worker, nonce, limit, held, fingerprint, lease_ms, then four blobs of an expired request.
-- Returns {next_check_ms, 1 when it may take hints, claimed ...}; a claimed one is {id, epoch, envelope, tries, waited,
-- remaining, next, ids, drafted, accepted, alone}.
local worker, nonce, held, fp = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[5]
local limit = math.min(tonumber(ARGV[3]), MAX_CLAIM)
local lease_ms = tonumber(ARGV[6])
local now = now_ms()
local HEAD = 2
local reply = {MAX_WAIT_MS, 1}
local skipped = 0

local function describe(id, record)
  reply[#reply + 1] = {
    id, record.epoch, redis.call('GET', envelope_key(id)) or '', record.tries, now - record.born,
    math.max(record.due - now, 0), record.next, redis.call('GET', ids_key(id)) or '',
    record.drafted, record.accepted, record.alone == '' and 0 or 1,
  }
end

local function lease(id, record, alone)
  leave_lane(id, record.lane)
  record.epoch, record.tries, record.alone = record.epoch + 1, record.tries + 1, alone
  redis.call('HSET', record_key(id), 'state', 'L', 'epoch', record.epoch, 'nonce', nonce,
    'worker', worker, 'tries', record.tries, 'alone', alone, 'claim_fp', fp,
    'claim_next', record.next, 'claim_tokens', record.tokens)
  redis.call('ZADD', leases_key, now + lease_ms, id)
  redis.call('RPUSH', claim_key(nonce), id)
  describe(id, record)
end

local function head(lane)
  local found = redis.call('ZRANGE', lane_key(lane), 0, 0, 'WITHSCORES')
  return found[1], tonumber(found[2] or math.huge)
end

-- The longest waiting request of this kind that this worker may take; overdue ones end here.
local function candidate(kind)
  while skipped < MAX_CLAIM do
    local lane = kind
    local id, score = head(kind)
    local pinned_id, pinned_score = head(kind .. ':' .. fp)
    if pinned_id and (not id or pinned_score < score) then
      lane, id = kind .. ':' .. fp, pinned_id
    end
    if not id then return nil end
    local record = read_record(id)
    if record and record.due > now then return id, record end
    skipped = skipped + 1
    if record then end_by_store(id, record, 7) else leave_lane(id, lane) end
  end
end

local function take_suspect()
  local id, record = candidate('suspects')
  if not id then return false end
  lease(id, record, '1')
  redis.call('HSET', alone_key, worker, id)
  redis.call('DEL', reserved_key)
  return true
end

local function take_ready()
  while #reply - HEAD < limit do
    local id, record = candidate('ready')
    if not id then return end
    lease(id, record, '')
  end
end

local function runs_suspect()
  local id = redis.call('HGET', alone_key, worker)
  if not id then return false end
  local record = read_record(id)
  if record and record.state == 'L' and record.worker == worker then return true end
  redis.call('HDEL', alone_key, worker)
  return false
end

-- A busy worker empties itself for a suspect, one worker at a time.
local function is_reserved()
  if held == 0 or redis.call('HLEN', alone_key) > 0 then return false end
  if not candidate('suspects') then return false end
  local by = redis.call('GET', reserved_key)
  if by and by ~= worker then return false end
  redis.call('SET', reserved_key, worker, 'PX', lease_ms)
  return true
end

local earlier = redis.call('LRANGE', claim_key(nonce), 0, -1)
for _, id in ipairs(earlier) do
  local record = read_record(id)
  if record and record.state == 'L' and record.nonce == nonce then
    redis.call('ZADD', leases_key, now + lease_ms, id)
    describe(id, record)
  end
end
if #earlier > 0 then return reply end
if runs_suspect() then
  reply[2] = 0
  return reply
end
if is_reserved() then
  reply[1], reply[2] = RESERVED_CHECK_MS, 0
  -- It may have come with a hint, which is for others then.
  if redis.call('LLEN', wake_key) == 0 and candidate('ready') then post_hint() end
  return reply
end

-- While one suspect runs, others wait behind ordinary work, so that they never take all workers.
local is_first = held == 0 and redis.call('HLEN', alone_key) == 0
if not (is_first and take_suspect()) then
  take_ready()
  if #reply == HEAD and held == 0 then take_suspect() end
end

if #reply > HEAD then
  redis.call('PEXPIRE', claim_key(nonce), lease_ms)
  if waiting() > 0 then post_hint() end
end
if redis.call('SCARD', lanes_key) == 0 then redis.call('DEL', wake_key) end
return reply
