-- Lets one call of a limit through and counts it, or refuses it and changes nothing: `memory/window.rs`, line by line.
-- KEYS[1]: the counter. ARGV: calls, window (ms), burst, now (ms since 1970; 0: this server's clock).
-- Answers {allowed, remaining, reset (ms), retry (ms)}.
-- The counter is a MessagePack array: at, debt, total, then first, last and calls of each slot.
local calls, window, burst, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local most = calls + burst
local kept = redis.call('GET', KEYS[1])
local fine, state = false, nil
if kept then
    fine, state = pcall(cmsgpack.unpack, kept)
end
if not fine or type(state) ~= 'table' or #state < 3 then
    state = {0, 0, 0}
end
now = math.max(now, state[1])
local debt = math.max(0, state[2] - (now - state[1]) * calls)
local total = state[3]
local first = 4
while state[first] and state[first + 1] + window <= now do
    total = total - state[first + 2]
    first = first + 3
end
local length = #state
local allowed = total < most and debt + window <= most * window
local retry = 0
local last = state[length - 1]
if length < first then
    last = nil
end
if allowed then
    debt = debt + window
    total = total + 1
    local slots = {now, debt, total}
    for i = first, length do
        slots[#slots + 1] = state[i]
    end
    if last and now - slots[#slots - 2] < math.ceil(window / 60) then
        slots[#slots - 1] = now
        slots[#slots] = slots[#slots] + 1
    else
        slots[#slots + 1] = now
        slots[#slots + 1] = now
        slots[#slots + 1] = 1
    end
    state = slots
    last = now
else
    local left = total
    for i = first, length, 3 do
        if left < most then
            break
        end
        left = left - state[i + 2]
        retry = state[i + 1] + window - now
    end
    retry = math.max(retry, math.ceil((debt + window - most * window) / calls))
end
last = math.max(last or now, now - window)
local reset = math.max(last + window - now, math.ceil(debt / calls))
if allowed then
    redis.call('SET', KEYS[1], cmsgpack.pack(state), 'PX', reset)
end
local remaining = math.min(most - total, math.floor((most * window - debt) / window))
return {allowed and 1 or 0, math.max(0, remaining), reset, retry}
