-- ARGV: 1 key of a medium, 2 its bytes, 3 tenant, 4 the end until which it was counted before its bytes
-- were deleted. It is counted no longer, unless it was put again since.
local member = ARGV[2] .. ' ' .. ARGV[1]
local ends = redis.call('ZSCORE', blobs_key, member)
if not ends or tonumber(ends) ~= tonumber(ARGV[4]) then return 0 end

local function take_off(set, sum)
  if redis.call('ZREM', set, member) == 1 then redis.call('DECRBY', sum, ARGV[2]) end
end

take_off(blobs_key, blob_bytes_key)
take_off(own_blobs_key(ARGV[3]), own_blob_bytes_key(ARGV[3]))
return 1
