-- ARGV: lease_ms, dead_letter_ms, then 12 a write: id, epoch, nonce, expected offset, event
-- count, token count, token ids, response, drafted, accepted, kind ('append' | 'finish' | 'dead'),
-- failure.
-- Returns {verdict, next offset} for each, flat; verdicts: 0 ok, 1 lease lost, 2 wrong offset.
local WIDTH = 12
local lease_ms, dead_letter_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()

local function write(at)
  local id, epoch, nonce, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 10]
  local record = read_record(id)
  if not holds(record, epoch, nonce) then
    local finisher = epoch .. ':' .. nonce
    if kind ~= 'append' and record and record.finisher == finisher then return 0, record.next end
    return 1, 0
  end
  if record.next ~= tonumber(ARGV[at + 3]) then
    redis.call('ZADD', leases_key, now + lease_ms, id)
    return 2, record.next
  end
  local count, tokens = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  if tokens > 0 then
    redis.call('APPEND', ids_key(id), ARGV[at + 6])
    record.fp = record.claim_fp
  end
  record.tokens = record.tokens + tokens
  record.drafted = record.drafted + tonumber(ARGV[at + 8])
  record.accepted = record.accepted + tonumber(ARGV[at + 9])
  if kind == 'append' then
    append_entry(id, record, ARGV[at + 7], count)
    redis.call('HSET', record_key(id), 'next', record.next, 'tokens', record.tokens,
      'drafted', record.drafted, 'accepted', record.accepted, 'fp', record.fp)
    redis.call('ZADD', leases_key, now + lease_ms, id)
  else
    end_request(id, record, {
      response = ARGV[at + 7], count = count, failure = ARGV[at + 11],
      finisher = epoch .. ':' .. nonce, now = now,
      dead_letter_ms = kind == 'dead' and dead_letter_ms or nil,
    })
  end
  return 0, record.next
end

local reply = {}
for at = 3, #ARGV, WIDTH do
  local verdict, offset = write(at)
  reply[#reply + 1] = verdict
  reply[#reply + 1] = offset
end
return reply
