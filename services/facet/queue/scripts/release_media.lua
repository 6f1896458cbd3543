-- ARGV: 1 key of a medium, 2 its bytes, 3 tenant. It is counted no longer.
local member = ARGV[2] .. ' ' .. ARGV[1]

local function take_off(set, sum)
  if redis.call('ZREM', set, member) == 1 then redis.call('DECRBY', sum, ARGV[2]) end
end

take_off(blobs_key, blob_bytes_key)
take_off(own_blobs_key(ARGV[3]), own_blob_bytes_key(ARGV[3]))
return 1
