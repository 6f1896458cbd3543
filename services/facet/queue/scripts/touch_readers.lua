-- ARGV: ids. Renews the presence of readers of those that live and end without readers.
for _, id in ipairs(ARGV) do
  local record = redis.call('HMGET', record_key(id), 'state', 'grace')
  if record[1] then touch_reader(id, record[1], record[2] or '') end
end
return 0
