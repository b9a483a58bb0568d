-- Lets one call through and counts it under each of its keys, or refuses it and changes nothing: `memory/window.rs`, line
-- by line.
-- KEYS: the counters. ARGV: now (ms since 1970; 0: this server's clock), then calls, window (ms) and burst of each key.
-- Answers {allowed, remaining, reset (ms), retry (ms)} of each key.
-- A counter is a MessagePack array: at, debt, total, then first, last and calls of each slot.
local clock = tonumber(ARGV[1])
if clock == 0 then
    local time = redis.call('TIME')
    clock = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function look(key, calls, window, burst)
    local most = calls + burst
    local kept = redis.call('GET', key)
    local fine, state = false, nil
    if kept then
        fine, state = pcall(cmsgpack.unpack, kept)
    end
    if not fine or type(state) ~= 'table' or #state < 3 then
        state = {0, 0, 0}
    end
    local now = math.max(clock, state[1])
    local debt = math.max(0, state[2] - (now - state[1]) * calls)
    local total = state[3]
    local first = 4
    while state[first] and state[first + 1] + window <= now do
        total = total - state[first + 2]
        first = first + 3
    end
    local allowed = total < most and debt + window <= most * window
    return {
        key = key, calls = calls, window = window, most = most, state = state, now = now, debt = debt, total = total,
        first = first, allowed = allowed,
    }
end

local function reset(it)
    local slots = 0
    if #it.state >= it.first then
        slots = math.max(0, it.state[#it.state - 1] + it.window - it.now)
    end
    return math.max(slots, math.ceil(it.debt / it.calls))
end

local function count(it)
    it.debt = it.debt + it.window
    it.total = it.total + 1
    local slots = {it.now, it.debt, it.total}
    for i = it.first, #it.state do
        slots[#slots + 1] = it.state[i]
    end
    if #slots > 3 and it.now - slots[#slots - 2] < math.ceil(it.window / 60) then
        slots[#slots - 1] = it.now
        slots[#slots] = slots[#slots] + 1
    else
        slots[#slots + 1] = it.now
        slots[#slots + 1] = it.now
        slots[#slots + 1] = 1
    end
    it.state, it.first = slots, 4
    redis.call('SET', it.key, cmsgpack.pack(slots), 'PX', reset(it))
end

local function tell(it)
    local retry = 0
    if not it.allowed then
        local left = it.total
        for i = it.first, #it.state, 3 do
            if left < it.most then
                break
            end
            left = left - it.state[i + 2]
            retry = it.state[i + 1] + it.window - it.now
        end
        retry = math.max(retry, math.ceil((it.debt + it.window - it.most * it.window) / it.calls))
    end
    local remaining = math.min(it.most - it.total, math.floor((it.most * it.window - it.debt) / it.window))
    return {it.allowed and 1 or 0, math.max(0, remaining), reset(it), retry}
end

local all, seen = true, {}
for i, key in ipairs(KEYS) do
    local at = i * 3 - 1
    seen[i] = look(key, tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
    all = all and seen[i].allowed
end
local told = {}
for i, it in ipairs(seen) do
    if all then
        count(it)
    end
    told[i] = tell(it)
end
return told
