-- ARGV: limit, then id and offset for each log.
-- Returns the entries of each from the one on that contains the offset, as XRANGE gives them.
local reply = {}
for at = 2, #ARGV, 2 do
  local key, from = log_key(ARGV[at]), string.format('%.0f-0', tonumber(ARGV[at + 1]) + 1)
  local first = redis.call('XREVRANGE', key, from, '-', 'COUNT', 1)[1]
  if first then
    local offset, fields = tonumber(string.match(first[1], '^%d+')) - 1, first[2]
    for i = 1, #fields, 2 do
      if fields[i] == 'n' and offset + tonumber(fields[i + 1]) > tonumber(ARGV[at + 1]) then
        from = first[1]
      end
    end
  end
  reply[#reply + 1] = redis.call('XRANGE', key, from, '+', 'COUNT', ARGV[1])
end
return reply
