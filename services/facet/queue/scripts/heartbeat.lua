-- ARGV: lease_ms, then 3 a lease: id, epoch, nonce. Returns 1 for each that still holds, else 0.
local lapse = now_ms() + tonumber(ARGV[1])
local reply = {}
for at = 2, #ARGV, 3 do
  local held = holds(read_record(ARGV[at]), ARGV[at + 1], ARGV[at + 2])
  if held then redis.call('ZADD', leases_key, lapse, ARGV[at]) end
  reply[#reply + 1] = held and 1 or 0
end
return reply
