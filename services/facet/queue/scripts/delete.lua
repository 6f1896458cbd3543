-- ARGV: id, tenant. Returns 0 unknown to this tenant, 1 deleted, 2 has not ended.
local record = read_record(ARGV[1])
if not record or record.tenant ~= ARGV[2] then return 0 end
if record.state ~= 'E' then return 2 end
erase(ARGV[1], record)
return 1
