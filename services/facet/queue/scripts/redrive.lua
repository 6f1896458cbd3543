-- ARGV: ids of dead letters. Each waits again with a new log, its whole deadline and without
-- readers to lose. Returns how many.
local now_at = now_us()
local now = math.floor(now_at / 1000)
local count = 0

-- A generation has one usage record: that of its last end.
local function withdraw_usage(id, record)
  local from = string.format('%.0f', record.ended)
  for _, entry in ipairs(redis.call('XRANGE', usage_key, from, '+', 'COUNT', MAX_BATCH)) do
    if entry[2][2] == id then redis.call('XDEL', usage_key, entry[1]) end
  end
end

for _, id in ipairs(ARGV) do
  local record = redis.call('ZSCORE', dead_key, id) and read_record(id)
  if record and redis.call('EXISTS', envelope_key(id)) == 1 then
    redis.call('ZREM', dead_key, id)
    redis.call('ZREM', expiring_key, id)
    redis.call('HINCRBY', load_key, 'dead_bytes', -record.bytes)
    withdraw_usage(id, record)
    redis.call('UNLINK', log_key(id), ids_key(id))
    for _, name in ipairs({'next', 'tokens', 'deaths', 'tries', 'charged', 'drafted', 'accepted',
      'ended', 'expires', 'logged'}) do
      record[name] = 0
    end
    local span = record.due - math.floor(record.place / 1000)
    record.fp, record.finisher, record.grace = '', '', ''
    record.due, record.place = now + span, now_at + count
    redis.call('ZADD', index_key(record.tenant), record.place, id)
    if record.reserved > 0 then
      add_live(record.tenant, id, record.due, now)
      take_tokens(record.tenant, record.reserved, now)
    end
    enter_lane(id, record)
    save_record(id, record)
    set_timer(id, record.due, '', now)
    note(id, now, 'redriven')
    announce(record, now)
    count = count + 1
  end
end
return count
