-- ARGV: follower, cursor up to which its inbox may be dropped or '', then id and offset that its
-- readers have got, for each request.
-- Returns {1 known, next offset} for each, flat. Renews the presence of readers and the inbox.
local follower = ARGV[1]
local now = now_ms()
if redis.call('PEXPIRE', inbox_key(follower), INBOX_MS) == 0 then
  redis.call('XADD', inbox_key(follower), '*', 'h', '1')
  redis.call('PEXPIRE', inbox_key(follower), INBOX_MS)
elseif ARGV[2] ~= '' then
  local last, from = redis.call('XREVRANGE', inbox_key(follower), '+', '-', 'COUNT', 1)[1], ARGV[2]
  -- What was received is not to rest here: an entry without content takes its place.
  if last and last[1] == from and last[2][1] == 'i' then
    from = redis.call('XADD', inbox_key(follower), '*', 'd', '1')
  end
  -- The entry that is left tells that nothing behind it was dropped.
  redis.call('XTRIM', inbox_key(follower), 'MINID', from)
end

local function joined(inbox)
  local names = {}
  for name in string.gmatch(inbox, '%S+') do
    if name == follower then return inbox end
    names[#names + 1] = name
  end
  if #names == MAX_FOLLOWERS then table.remove(names, 1) end
  names[#names + 1] = follower
  return table.concat(names, ' ')
end

local reply = {}
for at = 3, #ARGV, 2 do
  local id = ARGV[at]
  local record = read_record(id)
  if record and record.state ~= 'E' then
    set_timer(id, record.due, record.grace, now)
    record.inbox, record.read = joined(record.inbox), tonumber(ARGV[at + 1])
    save_record(id, record)
  elseif record and is_fleeting(record) and joined(record.inbox) ~= record.inbox then
    record.inbox = joined(record.inbox)
    save_record(id, record)
  end
  reply[#reply + 1] = record and 1 or 0
  reply[#reply + 1] = record and record.next or 0
end
return reply
