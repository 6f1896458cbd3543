-- ARGV: id, tenant, follower whose readers have got the end of it. A fleeting request goes with the
-- last of those who follow it and are present. Returns 1 when it was deleted.
local record = read_record(ARGV[1])
if not record or record.tenant ~= ARGV[2] or record.state ~= 'E' or not is_fleeting(record) then
  return 0
end
local others = {}
for name in string.gmatch(record.inbox, '%S+') do
  if name ~= ARGV[3] and redis.call('EXISTS', inbox_key(name)) == 1 then others[#others + 1] = name end
end
if #others == 0 then
  erase(ARGV[1], record)
  return 1
end
record.inbox = table.concat(others, ' ')
save_record(ARGV[1], record)
return 0
