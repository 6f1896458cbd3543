-- ARGV: 1 lease_ms, 2 dead_letter_ms, 3 bytes of a log at most, 4 four blobs of a request whose log
-- is full, then 16 a write: id, epoch, nonce, expected offset, event count, token count, words of ids
-- (id_words.py), response, drafted, accepted, kind ('append' | 'finish' | 'dead'), failure, prompt
-- tokens and output tokens of the whole request, 1 when earlier ids are void, usage.
-- Returns {verdict, next offset} for each, flat; verdicts: 0 ok, 1 lease lost, 2 wrong offset,
-- 3 lease or request forgotten by the store.
local WIDTH = 16
local FULL, FIRST = 4, 8
local lease_ms, dead_letter_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
-- The server formats a text faster than a number.
local lapses = string.format('%.0f', now + lease_ms)

local function refuse(id, record, epoch, nonce, kind)
  local finisher = epoch .. ':' .. nonce
  if kind ~= 'append' and record and record.finisher == finisher then return 0, record.next end
  if not record and redis.call('EXISTS', gone_key(id)) == 1 then return 1, 0 end
  if is_rewound(record, epoch) then return 3, 0 end
  return 1, 0
end

local function finish(id, record, at, kind)
  local prompt, output = tonumber(ARGV[at + 12]), tonumber(ARGV[at + 13])
  end_request(id, record, now, {
    response = ARGV[at + 7], count = ARGV[at + 4], failure = ARGV[at + 11],
    finisher = ARGV[at + 1] .. ':' .. ARGV[at + 2], took = prompt > 0 and prompt + output or nil,
    prompt = prompt, output = output, usage = ARGV[at + 15],
    dead_letter_ms = kind == 'dead' and dead_letter_ms or nil,
    why = kind == 'dead' and 'dead-lettered' or ARGV[at + 11] == '' and 'finished' or 'failed',
  })
  if ARGV[at + 11] == '' and output > 0 then learn_output(output / record.seqs) end
end

local function write(at)
  local id, epoch, nonce, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 10]
  local record = read_record(id)
  if not holds(record, epoch, nonce) then return refuse(id, record, epoch, nonce, kind) end
  if record.next ~= tonumber(ARGV[at + 3]) then
    redis.call('ZADD', leases_key, lapses, id)
    return 2, record.next
  end
  local logged = record.logged + #ARGV[at + 6] + #ARGV[at + 7]
  if kind == 'append' and logged > most then
    end_by_store(id, record, now, FULL, 'log-full')
    return 1, 0
  end
  record.logged = logged
  if ARGV[at + 14] == '1' then
    redis.call('UNLINK', ids_key(id))
    record.tokens, record.claim_tokens, record.fp = 0, 0, ''
  end
  local tokens = tonumber(ARGV[at + 5])
  if ARGV[at + 6] ~= '' then
    redis.call('APPEND', ids_key(id), ARGV[at + 6])
    record.fp = record.claim_fp
  end
  record.tokens = record.tokens + tokens
  record.drafted = record.drafted + tonumber(ARGV[at + 8])
  record.accepted = record.accepted + tonumber(ARGV[at + 9])
  if kind ~= 'append' then
    finish(id, record, at, kind)
    return 0, record.next
  end
  append_entry(id, record, ARGV[at + 7], ARGV[at + 4])
  save_record(id, record)
  redis.call('ZADD', leases_key, lapses, id)
  return 0, record.next
end

local reply = {}
-- Ends free memory, also behind appends, which alone are refused.
for at = FIRST, #ARGV, WIDTH do
  if ARGV[at + 10] ~= 'append' then
    pass_without_memory()
    break
  end
end
for at = FIRST, #ARGV, WIDTH do
  local verdict, offset = write(at)
  reply[#reply + 1] = verdict
  reply[#reply + 1] = offset
end
return reply
