-- ARGV: id, tenant. Returns 0 unknown to this tenant, 1 deleted, 2 has not ended.
local record = read_record(ARGV[1])
if not record or record.tenant ~= ARGV[2] then return 0 end
if record.state ~= 'E' then return 2 end
forget(ARGV[1], record)
-- Its worker may not know yet that it ended.
if record.tries > 0 then redis.call('SET', gone_key(ARGV[1]), '1', 'PX', GONE_MS) end
return 1
