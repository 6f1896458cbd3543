-- ARGV: id, tenant. Returns {} when unknown to this tenant, else what `describe` gives.
local record = read_record(ARGV[1])
if not record or record.tenant ~= ARGV[2] then return {} end
local now = now_ms()
return describe_status(ARGV[1], record, now, drain_rate(now))
