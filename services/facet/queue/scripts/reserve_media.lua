-- ARGV: 1 key of a medium, 2 its bytes, 3 life_ms, 4 bytes of all media at most, 5 tenant, 6 its bytes
-- at most or 0. Counts it for its life from here on, longer if it is counted for longer already.
-- Returns {0} no room, {1} counted, {2} no room as long as more that has lapsed is counted: ask again,
-- {3, ms} none among the tenant's until then, -1 where no wait helps.
local member = ARGV[2] .. ' ' .. ARGV[1]
local bytes, now, most_of_tenant = tonumber(ARGV[2]), now_ms(), tonumber(ARGV[6])

-- What is counted in a set, and whether more may have lapsed than was taken off.
local function counted(set, sum_key)
  local sum = tonumber(redis.call('GET', sum_key) or 0)
  local lapsed = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, MAX_BATCH)
  for _, each in ipairs(lapsed) do
    redis.call('ZREM', set, each)
    sum = sum - tonumber(string.match(each, '^%d+'))
  end
  if #lapsed > 0 then redis.call('SET', sum_key, sum, 'KEEPTTL') end
  return {set = set, key = sum_key, sum = sum, more = #lapsed == MAX_BATCH,
    known = redis.call('ZSCORE', set, member)}
end

local function has_room(count, most) return count.known or count.sum + bytes <= most end

-- Each time at another end: `release_media` takes off only what nobody has put since.
local function put(count)
  local ends = math.max(now + tonumber(ARGV[3]), tonumber(count.known or 0) + 1)
  redis.call('ZADD', count.set, ends, member)
  if not count.known then redis.call('SET', count.key, count.sum + bytes, 'KEEPTTL') end
  for _, key in ipairs({count.set, count.key}) do
    if redis.call('PTTL', key) < ends - now then
      redis.call('PEXPIRE', key, ends - now + MIN_RETENTION_MS)
    end
  end
end

-- When enough of the tenant's media will have lapsed.
local function wait_ms(count)
  if bytes > most_of_tenant then return -1 end
  local excess, found = count.sum + bytes - most_of_tenant,
    redis.call('ZRANGE', count.set, 0, MAX_BATCH - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    excess = excess - tonumber(string.match(found[i], '^%d+'))
    if excess <= 0 or i == #found - 1 then return math.max(tonumber(found[i + 1]) - now, 1) end
  end
end

local all = counted(blobs_key, blob_bytes_key)
if not has_room(all, tonumber(ARGV[4])) then return {all.more and 2 or 0} end
if most_of_tenant > 0 then
  local own = counted(own_blobs_key(ARGV[5]), own_blob_bytes_key(ARGV[5]))
  if not has_room(own, most_of_tenant) then
    if own.more then return {2} end
    return {3, wait_ms(own)}
  end
  put(own)
end
put(all)
return {1}
