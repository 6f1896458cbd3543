-- ARGV: follower, then ids. Their logs no longer go to its inbox.
pass_without_memory()
for at = 2, #ARGV do
  local id, names = ARGV[at], {}
  local record = read_record(id)
  if record and record.inbox ~= '' then
    for name in string.gmatch(record.inbox, '%S+') do
      if name ~= ARGV[1] then names[#names + 1] = name end
    end
    record.inbox = table.concat(names, ' ')
    save_record(id, record)
  end
end
return 0
