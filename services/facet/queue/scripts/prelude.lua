-- Shared by all scripts. A record's `state` is 'W' (waiting), 'L' (leased) or 'E' (ended).

-- Numbers first, up to `deaths`; a field that was never set is 0, or ''.
local FIELDS = {
  'score', 'born', 'due', 'keep', 'epoch', 'next', 'tokens', 'claim_next', 'claim_tokens',
  'drafted', 'accepted', 'tries', 'deaths',
  'state', 'tenant', 'grace', 'idem', 'lane', 'nonce', 'worker', 'alone', 'claim_fp', 'fp',
  'finisher',
}
local NUMBERS = 13

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function read_record(id)
  local values = redis.call('HMGET', record_key(id), unpack(FIELDS))
  local record = {}
  for i, name in ipairs(FIELDS) do
    record[name] = i <= NUMBERS and tonumber(values[i] or 0) or values[i] or ''
  end
  if record.state == '' then return nil end
  return record
end

local function remaining_ms(record)
  return math.max(record.due - now_ms(), 0)
end

-- The presence of readers, of a request that lives and ends without them.
local function touch_reader(id, state, grace)
  if state ~= 'E' and grace ~= '' then
    redis.call('ZADD', readers_key, now_ms() + tonumber(grace), id)
  end
end

-- Protocol buffers -----------------------------------------------------------------------------

local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- StreamGenerateContentResponse{events=[Event{offset=1, token_start=2, token_end=3, finished=12}]}
local function terminal_response(offset, tokens, finished)
  local event = ''
  if offset > 0 then event = '\8' .. varint(offset) end
  if tokens > 0 then event = event .. '\16' .. varint(tokens) .. '\24' .. varint(tokens) end
  event = event .. '\98' .. varint(#finished) .. finished
  return '\10' .. varint(#event) .. event
end

-- Lanes ----------------------------------------------------------------------------------------

-- Suspects stand apart from the others, and what has tokens of one fingerprint from what any may
-- take: so a claim finds its candidates at the heads of two lanes, and none that it must skip.
local function lane_of(record)
  local lane = record.deaths >= SUSPECT_DEATHS and 'suspects' or 'ready'
  if record.fp ~= '' then lane = lane .. ':' .. record.fp end
  return lane
end

local function leave_lane(id, lane)
  redis.call('ZREM', lane_key(lane), id)
  if redis.call('EXISTS', lane_key(lane)) == 0 then redis.call('SREM', lanes_key, lane) end
end

local function enter_lane(id, record)
  record.state, record.lane = 'W', lane_of(record)
  redis.call('ZADD', lane_key(record.lane), record.score, id)
  redis.call('SADD', lanes_key, record.lane)
end

local function waiting()
  local count = 0
  for _, lane in ipairs(redis.call('SMEMBERS', lanes_key)) do
    count = count + redis.call('ZCARD', lane_key(lane))
  end
  return count
end

local function post_hint()
  if redis.call('LLEN', wake_key) < MAX_HINTS then redis.call('LPUSH', wake_key, '1') end
end

-- Leases ---------------------------------------------------------------------------------------

local function holds(record, epoch, nonce)
  return record and record.state == 'L'
    and record.epoch == tonumber(epoch) and record.nonce == nonce
end

local function release(id, record)
  redis.call('ZREM', leases_key, id)
  if record.alone ~= '' then redis.call('HDEL', alone_key, record.worker) end
  record.alone = ''
end

local function requeue(id, record)
  release(id, record)
  enter_lane(id, record)
  redis.call('HSET', record_key(id), 'state', 'W', 'lane', record.lane, 'alone', '',
    'deaths', record.deaths, 'tries', record.tries)
  post_hint()
end

-- The end --------------------------------------------------------------------------------------

local function append_entry(id, record, response, count, ...)
  redis.call('XADD', log_key(id), string.format('%.0f-0', record.next + 1),
    'n', count, 'e', response, ...)
  record.next = record.next + count
end

local function bury(id, now, dead_letter_ms)
  redis.call('ZADD', dead_key, now, id)
  redis.call('ZREMRANGEBYSCORE', dead_key, '-inf', now - dead_letter_ms)
  redis.call('ZREMRANGEBYRANK', dead_key, 0, -MAX_DEAD_LETTERS - 1)
end

-- Takes the request out of everything and writes the terminal entry: the only way to end one.
-- What frees memory comes first: after it a server without memory left lets the script go on.
local function end_request(id, record, entry)
  if record.state == 'W' then leave_lane(id, record.lane) else release(id, record) end
  redis.call('ZREM', deadlines_key, id)
  redis.call('ZREM', readers_key, id)
  append_entry(id, record, entry.response, entry.count, 'z', '1', 'x', entry.failure)
  redis.call('HSET', record_key(id), 'state', 'E', 'next', record.next, 'tokens', record.tokens,
    'drafted', record.drafted, 'accepted', record.accepted, 'deaths', record.deaths, 'alone', '',
    'finisher', entry.finisher or '')
  local life = math.max(record.keep, MIN_RETENTION_MS)
  if entry.dead_letter_ms then
    bury(id, entry.now, entry.dead_letter_ms)
    life = math.max(life, entry.dead_letter_ms)
    redis.call('PEXPIRE', envelope_key(id), life)
  else
    redis.call('UNLINK', envelope_key(id))
  end
  for _, key in ipairs({record_key(id), log_key(id), ids_key(id)}) do
    redis.call('PEXPIRE', key, life)
  end
  if record.idem ~= '' then redis.call('PEXPIRE', idem_key(record.idem), life) end
end

-- A terminal event of the store's own; ARGV holds four blobs from `at`: Finished and Failure of a
-- request that never ran, and of one that did.
local function end_by_store(id, record, at, dead_letter_ms, now)
  if record.tries > 0 then at = at + 2 end
  end_request(id, record, {
    response = terminal_response(record.next, record.tokens, ARGV[at]),
    count = 1, failure = ARGV[at + 1], dead_letter_ms = dead_letter_ms, now = now,
  })
end
