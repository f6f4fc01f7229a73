"""Ways in which a stored value can be something else than what was written."""

import json
import random
from collections.abc import Callable
from typing import Any

import redis

#: A value as it is found then, or None where it is gone.
Way = Callable[[bytes, random.Random], bytes | None]


def flip(value: bytes, dice: random.Random) -> bytes:
    """One bit is another."""
    if not value:
        return b"\x00"
    place, bit = dice.randrange(len(value)), 1 << dice.randrange(8)
    return value[:place] + bytes([value[place] ^ bit]) + value[place + 1 :]


def cut(value: bytes, _: random.Random) -> bytes:
    """The second half is missing."""
    return value[: len(value) // 2]


def empty(_value: bytes, _: random.Random) -> bytes:
    """Nothing was written."""
    return b""


def noise(value: bytes, dice: random.Random) -> bytes:
    """As long, and no sense in it."""
    return dice.randbytes(len(value) or 8)


def gone(_value: bytes, _: random.Random) -> None:
    """Lost."""


def older(value: bytes, dice: random.Random) -> bytes:
    """Of a version that did not know one of the fields yet; without the checksum, which that version did not have."""
    found = _fields(value)
    if not found:
        return value[1:]
    found.pop("crc32", None)
    found.pop(dice.choice(sorted(found)), None)
    return json.dumps(found).encode()


def newer(value: bytes, _: random.Random) -> bytes:
    """Of a version that knows more."""
    found = _fields(value)
    found.pop("crc32", None)
    return json.dumps({**found, "of_the_future": {"version": 99}}).encode() if found else value + b"\x00"


WAYS: dict[str, Way] = {way.__name__: way for way in (flip, cut, empty, noise, gone, older, newer)}


def _fields(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def garble(client: redis.Redis, name: bytes, way: Way, dice: random.Random) -> str:
    """Change what a key holds, or one thing of many that it holds; answers what was changed."""
    kind = _text(client.type(name))
    state: Any = client
    if kind == "string":
        changed = way(state.get(name) or b"", dice)
        if changed is None:
            state.delete(name)
        else:
            state.set(name, changed, keepttl=True)
        return ""
    if kind == "hash":
        field = dice.choice(sorted(state.hkeys(name)))
        changed = way(state.hget(name, field), dice)
        state.hdel(name, field) if changed is None else state.hset(name, field, changed)
        return f"[{field!r}]"
    if kind == "list":
        place = dice.randrange(state.llen(name))
        changed = way(state.lindex(name, place), dice)
        state.lset(name, place, b"" if changed is None else changed)
        return f"[{place}]"
    return _garble_member(state, kind, name, way, dice)


def _garble_member(state: Any, kind: str, name: bytes, way: Way, dice: random.Random) -> str:
    is_sorted = kind == "zset"
    member = dice.choice(sorted(state.zrange(name, 0, -1) if is_sorted else state.smembers(name)))
    score = state.zscore(name, member) if is_sorted else 0.0
    changed = way(member, dice)
    state.zrem(name, member) if is_sorted else state.srem(name, member)
    if changed is not None:
        state.zadd(name, {changed: score}) if is_sorted else state.sadd(name, changed)
    return f"[{member!r}]"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
