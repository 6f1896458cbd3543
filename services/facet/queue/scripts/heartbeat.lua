-- ARGV: lease_ms, worker, fingerprint, then 3 a lease: id, epoch, nonce.
-- Returns for each 0 held, 1 lost, 3 forgotten by the store.
local now = now_ms()
local worker, fp = ARGV[2], ARGV[3]

-- The store fell back to before the claim: nobody else can have got this epoch from it since.
local function take_back(id, record, epoch, nonce)
  if record.state == 'W' then leave_lane(id, record) else release(id, record) end
  if record.charged == 0 then
    charge(record, record.size)
    record.charged = record.size
  end
  record.state, record.epoch, record.nonce, record.worker = 'L', tonumber(epoch), nonce, worker
  record.tries, record.alone, record.claim_fp = record.tries + 1, '', fp
  record.claim_next, record.claim_tokens = record.next, record.tokens
  save_record(id, record)
  note(id, now, 'taken-back', worker)
end

pass_without_memory()
local reply = {}
for at = 4, #ARGV, 3 do
  local id, epoch, nonce = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local record = read_record(id)
  local answer = 0
  if not record then
    answer = redis.call('EXISTS', gone_key(id)) == 1 and 1 or 3
  elseif not holds(record, epoch, nonce) then
    if is_rewound(record, epoch) then take_back(id, record, epoch, nonce) else answer = 1 end
  end
  if answer == 0 then redis.call('ZADD', leases_key, now + tonumber(ARGV[1]), id) end
  reply[#reply + 1] = answer
end
return reply
