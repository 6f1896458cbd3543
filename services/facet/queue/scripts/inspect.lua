-- ARGV: id. Returns {} when unknown, else {status, class, needs, epoch, fingerprint, prompt tokens,
-- charged, holds, skips, read offset, life}.
local id = ARGV[1]
local record = read_record(id)
if not record then return {} end
local now = now_ms()
return {
  describe_status(id, record, now, drain_rate(now)), record.class, record.needs, record.epoch,
  record.fp ~= '' and record.fp or record.claim_fp, record.cost, record.charged,
  record.holds, record.skips, record.read,
  redis.call('LRANGE', life_key(id), 0, MAX_BATCH - 1),
}
