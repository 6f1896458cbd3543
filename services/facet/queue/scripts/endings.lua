-- Shared like the prelude: how requests end, and how they stand.

-- The end
-- `count` may be a text. Readers know the fields by their places: new ones go to the end.
local function append_entry(id, record, response, count, ...)
  redis.call('XADD', log_key(id), string.format('%.0f-0', record.next + 1),
    'n', count, 'e', response, ...)
  for follower in string.gmatch(record.inbox, '%S+') do
    redis.call('XADD', inbox_key(follower), 'NOMKSTREAM', 'MAXLEN', '~', INBOX_ENTRIES, '*',
      'i', id, 'o', record.next, 'n', count, 'e', response, ...)
  end
  record.next = record.next + tonumber(count)
end

local function forget(id, record)
  redis.call('UNLINK', record_key(id), envelope_key(id), log_key(id), ids_key(id), life_key(id),
    media_key(id))
  if record.idem ~= '' and redis.call('HGET', idem_key(record.idem), 'id') == id then
    redis.call('UNLINK', idem_key(record.idem))
  end
  redis.call('ZREM', index_key(record.tenant), id)
  redis.call('ZREM', expiring_key, id)
  if redis.call('ZREM', dead_key, id) == 1 then
    redis.call('HINCRBY', load_key, 'dead_bytes', -record.bytes)
  end
end

-- Forgets what a worker or a gateway may still speak of: it was not lost.
local function erase(id, record)
  forget(id, record)
  redis.call('SET', gone_key(id), '1', 'PX', GONE_MS)
end

local function bury(id, record, now)
  -- Each at a time of its own, in ms as the first release reads it: pages begin after one.
  local last = redis.call('ZREVRANGE', dead_key, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', dead_key, math.max(now, tonumber(last or 0) + 1), id)
  local bytes = redis.call('HINCRBY', load_key, 'dead_bytes', record.bytes)
  for _ = 1, MAX_SWEEP do
    if bytes <= MAX_DEAD_BYTES and redis.call('ZCARD', dead_key) <= MAX_DEAD_LETTERS then return end
    local oldest = redis.call('ZRANGE', dead_key, 0, 0)[1]
    local letter = read_record(oldest)
    if letter then erase(oldest, letter) else redis.call('ZREM', dead_key, oldest) end
    bytes = tonumber(redis.call('HGET', load_key, 'dead_bytes'))
  end
end

-- Takes the request out of everything and writes the terminal entry: the only way to end one.
-- What frees memory comes first: after it a server without memory left lets the script go on.
local function end_request(id, record, now, entry)
  if record.state == 'W' then leave_lane(id, record) else release(id, record) end
  redis.call('ZREM', timers_key, id)
  local life = math.max(record.keep, MIN_RETENTION_MS)
  local is_kept = entry.dead_letter_ms and (record.bound == 0 or record.keep > 0)
  if not is_kept then
    redis.call('UNLINK', envelope_key(id))
  elseif record.bound == 0 then
    life = math.max(life, entry.dead_letter_ms)
  end
  append_entry(id, record, entry.response, entry.count, 'z', '1', 'x', entry.failure)
  record.state, record.alone, record.finisher = 'E', '', entry.finisher or ''
  -- Those of a fleeting one are waited for.
  if not is_fleeting(record) then record.inbox = '' end
  record.ended, record.expires = now, now + life
  save_record(id, record)
  record_usage(id, record, now, entry)
  note(id, now, 'ended', entry.why)
  local took = entry.took or record.cost + record.tokens
  correct(record, took)
  settle(id, record, record.tries > 0 and took or 0, now)
  if is_kept then bury(id, record, now) end
  redis.call('ZADD', expiring_key, record.expires, id)
end

-- A terminal event of the store's own; ARGV holds four blobs from `at`: Finished and Failure of a
-- request that never ran, and of one that did.
local function end_by_store(id, record, now, at, why, dead_letter_ms)
  if record.tries > 0 then at = at + 2 end
  end_request(id, record, now, {
    response = terminal_response(record.next, record.tokens, ARGV[at]),
    count = 1, failure = ARGV[at + 1], why = why, dead_letter_ms = dead_letter_ms,
  })
end

-- Status
local function requests_ahead(id, record)
  if record.state ~= 'W' then return 0, 0 end
  local lane = lane_of(record)
  local tenants = redis.call('ZCARD', lane_key(lane))
  local rank = redis.call('ZRANK', fifo_of(lane, record.tenant), id) or 0
  local load = redis.call('HMGET', load_key, 'n1', 't1', 'n2', 't2', 'n3', 't3')
  local requests, tokens = 0, 0
  for class = 1, tonumber(record.class) do
    local n, t = tonumber(load[2 * class - 1] or 0), tonumber(load[2 * class] or 0)
    if class == tonumber(record.class) then
      -- As many of each tenant as stand before it of its own.
      local ahead = math.min(rank * tenants, n - 1)
      t, n = n > 0 and t * ahead / n or 0, ahead
    end
    requests, tokens = requests + n, tokens + t
  end
  return math.max(requests, 0), math.max(math.floor(tokens), 0)
end

local function failure_of(id, record)
  if record.state ~= 'E' then return '' end
  local last = redis.call('XREVRANGE', log_key(id), '+', '-', 'COUNT', 1)
  local fields = last[1] and last[1][2] or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'x' then return fields[i + 1] end
  end
  return ''
end

-- {state, tenant, next, tries, deaths, worker, place, failure, requests ahead, tokens ahead,
-- wait ms or -1, remaining ms, ended, expires, origin, 1 when it is to be deleted once delivered}
local function describe_status(id, record, now, rate)
  local requests, tokens = requests_ahead(id, record)
  local wait = record.state == 'W' and (rate > 0 and math.floor(tokens / rate) or -1) or 0
  return {
    record.state, record.tenant, record.next, record.tries, record.deaths, record.worker,
    record.place, failure_of(id, record), requests, tokens, wait,
    math.max(record.due - now, 0), record.ended, record.expires, redis.call('GET', origin_key) or '',
    is_fleeting(record) and 1 or 0,
  }
end
