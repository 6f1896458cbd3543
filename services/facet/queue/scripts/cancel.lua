-- ARGV: id, tenant, then four blobs of a cancelled request.
-- Returns 0 unknown to this tenant, 1 cancelled, 2 had ended.
local record = read_record(ARGV[1])
if not record or record.tenant ~= ARGV[2] then return 0 end
if record.state == 'E' then return 2 end
end_by_store(ARGV[1], record, now_ms(), 3, 'cancelled')
return 1
