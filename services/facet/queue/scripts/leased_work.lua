-- Returns {leased, read, tokens of output still expected of those read, tenant, ...}.
local ids = redis.call('ZRANDMEMBER', leases_key, MAX_BATCH)
local reply, remaining = {redis.call('ZCARD', leases_key), 0, 0}, 0
for _, id in ipairs(ids) do
  local record = read_record(id)
  if record then
    remaining = remaining + math.max(record.size - record.cost - record.tokens, 0)
    reply[#reply + 1] = record.tenant
  end
end
reply[2], reply[3] = #reply - 3, math.floor(remaining)
return reply
