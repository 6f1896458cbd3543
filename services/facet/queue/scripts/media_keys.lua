-- ARGV: id, tenant. Returns the keys of a request's media, joined by spaces; '' when unknown.
local record = read_record(ARGV[1])
if not record or record.tenant ~= ARGV[2] then return '' end
return redis.call('GET', media_key(ARGV[1])) or ''
