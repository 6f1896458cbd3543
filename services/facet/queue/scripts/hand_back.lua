-- ARGV: 3 a lease: id, epoch, nonce. An attempt that logged nothing is not counted as one; one that
-- logged tokens ends a row of deaths.
for at = 1, #ARGV, 3 do
  local id = ARGV[at]
  local record = read_record(id)
  if holds(record, ARGV[at + 1], ARGV[at + 2]) then
    if record.next == record.claim_next then record.tries = record.tries - 1 end
    if record.tokens > record.claim_tokens then record.deaths = 0 end
    requeue(id, record)
  end
end
return 0
