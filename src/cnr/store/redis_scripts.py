"""What runs inside redis: one Lua script per operation, so that each is one step for all clients and one round trip.

Keys of a store, behind its prefix (docs/design.md is normative):

:state      hash: epoch, version (the counter), floor, server
:keys       sorted set, all scores 0: every key of a record, for scans in byte order
:feed       sorted set by Version: the keys that the feed tells of
:gone       sorted set by Version: those of them that were deleted, the newest GONE_KEPT
=<key>      a record: 16 digits of its Version, and the value

`server` names the process and the replication history in which the counter went on so far. Where it is another one -
a restart, a fail-over, a restored file - redis may have forgotten writes that it had acknowledged. Then `settle`
begins a new epoch, so that every cursor is lost, and moves the counter on: by `jump`, at least to the time in
microseconds. Redis does less than a write in a microsecond, so that no Version that it forgot is given again.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

DIGITS: Final = 16
"""Length of a Version in a record. Lua's numbers and scores are exact up to 2**53, which has 16 digits."""
REPLICA: Final = "CNRREPLICA"
"""Begins the error of a script that is not on the primary."""

_SETTLE: Final = (
    """
local function settle(state, epoch, jump)
    local replication = redis.call('INFO', 'replication')
    if not string.find(replication, 'role:master', 1, true) then
        return nil, redis.error_reply('"""
    + REPLICA
    + """ this is a replica')
    end
    local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
        .. string.match(replication, 'master_replid:(%x+)')
    local found = redis.call('HMGET', state, 'server', 'epoch', 'version', 'floor')
    if found[1] == server then
        return found
    end
    -- A first write that needs no memory: redis then lets the others pass, so that a full store can be read.
    redis.call('DEL', state .. ':')
    local time = redis.call('TIME')
    local version = math.max(redis.call('HINCRBY', state, 'version', jump), time[1] * 1000000 + time[2])
    version = string.format('%.0f', version)
    redis.call('HSET', state, 'version', version)
    redis.call('HSET', state, 'server', server, 'epoch', epoch, 'floor', version)
    return {server, epoch, version, version}
end
"""
)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name under which redis keeps it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


PUT: Final = Script(
    _SETTLE
    + """
local state, keys, feed, gone, record = unpack(KEYS)
local epoch, jump, key, expect, fed, value = unpack(ARGV)
local _, refusal = settle(state, epoch, jump)
if refusal then return refusal end
local there = redis.call('GETRANGE', record, 0, 15)
if there ~= expect then return 0 end
local version = redis.call('HINCRBY', state, 'version', 1)
local digits = string.format('%016.0f', version)
redis.call('SET', record, digits .. value)
if there == '' then redis.call('ZADD', keys, 0, key) end
if fed == '1' then
    redis.call('ZADD', feed, digits, key)
    redis.call('ZREM', gone, key)
end
return version
"""
)
"""Returns the new Version, or 0 where the record is not as expected ('' or 16 digits)."""

DELETE: Final = Script(
    _SETTLE
    + """
local state, keys, feed, gone, record = unpack(KEYS)
local epoch, jump, key, expect, fed, kept = unpack(ARGV)
local _, refusal = settle(state, epoch, jump)
if refusal then return refusal end
if redis.call('GETRANGE', record, 0, 15) ~= expect then return 0 end
redis.call('DEL', record)
local version = redis.call('HINCRBY', state, 'version', 1)
redis.call('ZREM', keys, key)
if fed == '1' then
    redis.call('ZREM', feed, key)
    redis.call('ZADD', gone, string.format('%016.0f', version), key)
    if redis.call('ZCARD', gone) > tonumber(kept) then
        redis.call('HSET', state, 'floor', redis.call('ZPOPMIN', gone)[2])
    end
end
return version
"""
)
"""As PUT. The record goes first: redis refuses no delete for want of memory, also when it is full."""

HEAD: Final = Script(
    _SETTLE
    + """
local found, refusal = settle(KEYS[1], ARGV[1], ARGV[2])
if refusal then return refusal end
return {found[2], found[3]}
"""
)
"""Returns the epoch and the last Version."""

CHANGES: Final = Script(
    _SETTLE
    + """
local found, refusal = settle(KEYS[1], ARGV[1], ARGV[2])
if refusal then return refusal end
local since, page = '(' .. ARGV[3], ARGV[4]
return {
    found[2], found[3], found[4],
    redis.call('ZRANGEBYSCORE', KEYS[2], since, '+inf', 'WITHSCORES', 'LIMIT', 0, page),
    redis.call('ZRANGEBYSCORE', KEYS[3], since, '+inf', 'WITHSCORES', 'LIMIT', 0, page),
}
"""
)
"""Returns epoch, last Version, floor, and a page each of the keys written and of those deleted since."""

SCAN: Final = Script(
    """
local first, last, limit, bytes, prefix = unpack(ARGV)
local page, size = {}, 0
for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], first, last, 'LIMIT', 0, limit)) do
    local record = redis.call('GET', prefix .. key)
    size = size + #record - 16
    if size > tonumber(bytes) and #page > 0 then break end
    page[#page + 1] = key
    page[#page + 1] = record
end
return page
"""
)
"""Returns keys and records in turn."""
