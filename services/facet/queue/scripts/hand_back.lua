-- ARGV: context tokens or 0, then 3 a lease: id, epoch, nonce. An attempt that logged nothing is
-- not counted as one; one that logged tokens ends a row of deaths.
local context, now = tonumber(ARGV[1]), now_ms()
for at = 2, #ARGV, 3 do
  local id = ARGV[at]
  local record = read_record(id)
  if holds(record, ARGV[at + 1], ARGV[at + 2]) then
    if record.next == record.claim_next then record.tries = record.tries - 1 end
    if record.tokens > record.claim_tokens then record.deaths = 0 end
    local before, bucket, after = string.match(record.needs, '^(%d+|)(%d+)(|.*)$')
    if context > tonumber(bucket) then record.needs = before .. ARGV[1] .. after end
    requeue(id, record, now, 'handed-back')
  end
end
return 0
