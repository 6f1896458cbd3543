-- ARGV: ids of dead letters. Returns how many were deleted.
local count = 0
for _, id in ipairs(ARGV) do
  local record = redis.call('ZSCORE', dead_key, id) and read_record(id)
  if record then
    erase(id, record)
    count = count + 1
  end
end
return count
