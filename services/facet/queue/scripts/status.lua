-- ARGV: id, tenant. Returns {} when unknown to this tenant, else {state, next, tries, deaths,
-- worker, born, failure, requests ahead, remaining ms}.
local id = ARGV[1]
local record = read_record(id)
if not record or record.tenant ~= ARGV[2] then return {} end

local ahead = 0
if record.state == 'W' then
  ahead = redis.call('ZRANK', lane_key(record.lane), id) or 0
  if record.lane ~= 'ready' then
    local before = string.format('(%.0f', record.score)
    ahead = ahead + redis.call('ZCOUNT', lane_key('ready'), '-inf', before)
  end
end

local failure = ''
if record.state == 'E' then
  local last = redis.call('XREVRANGE', log_key(id), '+', '-', 'COUNT', 1)
  local fields = last[1] and last[1][2] or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'x' then failure = fields[i + 1] end
  end
end
return {record.state, record.next, record.tries, record.deaths, record.worker, record.born,
  failure, ahead, remaining_ms(record)}
