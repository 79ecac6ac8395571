"""What Redis is asked, and what it answered: all of RedisKV and its twin but the I/O."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, ResponseError

from kvcodec.backends.limits import check_key, check_value
from kvcodec.backends.redis_delivery import (
    Call,
    Command,
    Delivery,
    Lost,
    Place,
    Settings,
    Steps,
    Way,
)
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits, Token

__all__ = ["LIMITS", "PAGE_KEYS", "Asking"]

_LONGEST: Final = 512 * 2**20
"""Bytes: ``proto-max-bulk-len``, as servers come."""

LIMITS: Final = Limits(key_bytes=_LONGEST, value_bytes=_LONGEST)

PAGE_KEYS: Final = 500
"""Keys of one exchange, and of one step of SCAN: 20,000 keys take 31 ms so, 153 ms by tens."""

_PAGE_BYTES: Final = 4 * 2**20
"""Of the values of one exchange, which is held in memory once more while it is sent."""

_SHORT: Final = 64
"""Bytes of a value that is its own token; of a longer one it is the SHA-1."""

_LONGEST_MS: Final = 10**15
"""Of a ttl: 31,000 years. The server adds it to its clock, in 63 bits."""


class _Script:
    """A Lua script, which a server knows by its SHA-1 once it was sent whole."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


_COMPARED: Final = _Script(b"""\
local v = redis.call('GET', KEYS[1])
if not v or (#v > 64 and redis.sha1hex(v) or '=' .. v) ~= ARGV[1] then return 0 end
if #ARGV == 1 then redis.call('DEL', KEYS[1])
elseif #ARGV == 2 then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
"""Compare and set, or compare and delete. Redis before 8.4 and Valkey have no command in common."""

_MORTAL: Final = _Script(b"""\
local call, values, ms = redis.call, ARGV, ARGV[1]
for i, k in ipairs(KEYS) do call('PSETEX', k, ms, values[i + 1]) end
""")
"""MSET with a ttl: so many commands take 2.6 times as long."""

_CONFIGURATION: Final = ("maxmemory", "maxmemory-policy", "save", "appendonly")


# ------------------------------------------------------------------------------- what is asked


class Asking:
    """The methods of a KV, as steps. What cannot be asked is refused by the call itself."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._quick = not settings.cluster and not settings.replicas

    def get(self, key: str) -> Steps[bytes | None]:
        """The value, or None."""
        name = _name(key)
        return self._one(name, (b"GET", name), Way.READ)

    def exists(self, key: str) -> Steps[bool]:
        """Whether there is one."""
        name = _name(key)
        return bool((yield from self._one(name, (b"EXISTS", name), Way.READ)))

    def set(self, key: str, value: bytes) -> Steps[None]:
        """A plain SET, which ends a ttl."""
        name = _name(key)
        return self._one(name, (b"SET", name, _data(key, value)), Way.WRITE)

    def set_with_ttl(self, key: str, value: bytes, ttl: float) -> Steps[None]:
        """A SET that gives one."""
        name = _name(key)
        command = (b"SET", name, _data(key, value), b"PX", _ms(ttl))
        return self._one(name, command, Way.WRITE)

    def delete(self, key: str) -> Steps[None]:
        """A DEL."""
        name = _name(key)
        return self._one(name, (b"DEL", name), Way.WRITE)

    def get_many(self, keys: Sequence[str]) -> Steps[dict[str, bytes]]:
        """MGET; in a cluster a GET for each key, which have a slot each."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), PAGE_KEYS):
            page = keys[start : start + PAGE_KEYS]
            names = [_name(key) for key in page]
            if self.settings.cluster:
                values = yield from self._all([Call(n, (b"GET", n)) for n in names], Way.READ)
            else:
                values = yield from self._one(names[0], (b"MGET", *names), Way.READ)
            pairs = zip(page, values, strict=True)
            found.update((key, value) for key, value in pairs if value is not None)
        return found

    def set_many(self, items: Mapping[str, bytes]) -> Steps[None]:
        """MSET; in a cluster a SET for each item."""
        for page in _pages(items):
            if self.settings.cluster:
                calls = [Call(name, (b"SET", name, data)) for name, data in page]
                yield from self._all(calls, Way.WRITE)
            else:
                flat = [part for item in page for part in item]
                yield from self._one(flat[0], (b"MSET", *flat), Way.WRITE)

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float) -> Steps[None]:
        """A script; in a cluster a SET for each item."""
        ms = _ms(ttl)
        for page in _pages(items):
            if self.settings.cluster:
                calls = [Call(name, (b"SET", name, data, b"PX", ms)) for name, data in page]
                yield from self._all(calls, Way.WRITE)
            else:
                names, values = zip(*page, strict=True)
                yield from self._scripted(_MORTAL, names, (ms, *values), Way.WRITE)

    def delete_many(self, keys: Sequence[str]) -> Steps[None]:
        """DEL of many; in a cluster one for each."""
        for start in range(0, len(keys), PAGE_KEYS):
            names = [_name(key) for key in keys[start : start + PAGE_KEYS]]
            if self.settings.cluster:
                yield from self._all([Call(n, (b"DEL", n)) for n in names], Way.WRITE)
            else:
                yield from self._one(names[0], (b"DEL", *names), Way.WRITE)

    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Steps[bool]:
        """SET NX."""
        name = _name(key)
        end = () if ttl is None else (b"PX", _ms(ttl))
        command = (b"SET", name, _data(key, value), b"NX", *end)
        return (yield from self._one(name, command, Way.ONCE)) is not None

    def get_versioned(self, key: str) -> Steps[tuple[bytes, Token] | None]:
        """The value, and what stands for its bytes."""
        value = yield from self.get(key)
        if value is None:
            return None
        if len(value) <= _SHORT:
            return value, b"=" + value
        return value, hashlib.sha1(value, usedforsecurity=False).hexdigest().encode()

    def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None
    ) -> Steps[bool]:
        """Compare and set."""
        end = () if ttl is None else (_ms(ttl),)
        return self._compared(key, token, _data(key, value), *end)

    def delete_if_version(self, key: str, token: Token) -> Steps[bool]:
        """Compare and delete."""
        return self._compared(key, token)

    def concerns(self) -> Steps[list[str] | None]:
        """What about the server may lose values; None if it could not be asked just now."""
        place: Place = None
        if self.settings.cluster:
            place = next(iter((yield ("primaries",))), None)
        commands = [(b"CONFIG", b"GET", option.encode()) for option in _CONFIGURATION]
        answers = yield ("exchange", place, commands)
        return None if isinstance(answers, Lost) else _concerns(answers)

    def _compared(self, key: str, *arguments: bytes) -> Steps[bool]:
        done = yield from self._scripted(_COMPARED, (_name(key),), arguments, Way.ONCE)
        return bool(done)

    def _scripted(
        self, script: _Script, names: Sequence[bytes], arguments: Sequence[bytes], way: Way
    ) -> Steps[Any]:
        rest = (b"%d" % len(names), *names, *arguments)
        answer = yield from self._one(names[0], (b"EVALSHA", script.sha, *rest), way)
        if isinstance(answer, NoScriptError):  # not executed: this is no repetition
            answer = yield from self._one(names[0], (b"EVAL", script.text, *rest), way)
        return answer

    def _one(self, name: bytes, command: Command, way: Way) -> Steps[Any]:
        first: Any = None
        if self._quick:  # one exchange is all, if nothing is wrong
            first = yield ("exchange", None, (command,))
            if not isinstance(first, Lost) and not isinstance(first[0], ResponseError):
                return first[0]
        answers = yield from Delivery(self.settings, (Call(name, command),), way, first).run()
        return answers[0]

    def _all(self, calls: Sequence[Call], way: Way) -> Steps[list[Any]]:
        return Delivery(self.settings, calls, way).run()


def _name(key: str) -> bytes:
    if not key.isascii() or len(key) > _LONGEST:
        check_key(key, LIMITS)
    return key.encode()


def _data(key: str, value: bytes) -> bytes:
    data = value if type(value) is bytes else bytes(memoryview(value))
    if len(data) > _LONGEST:
        check_value(key, len(data), LIMITS)
    return data


def _ms(ttl: float) -> bytes:
    if not 0 < ttl < math.inf:
        raise ConfigError("a ttl is a number of seconds above 0, and finite")
    return b"%d" % min(math.ceil(ttl * 1000), _LONGEST_MS)


def _pages(items: Mapping[str, bytes]) -> Iterator[list[tuple[bytes, bytes]]]:
    page: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in items.items():
        data = _data(key, value)
        if page and (len(page) == PAGE_KEYS or size + len(data) > _PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append((_name(key), data))
        size += len(data)
    if page:
        yield page


def _concerns(answers: Sequence[Any]) -> list[str]:
    said = dict(zip(_CONFIGURATION, map(_setting, answers), strict=True))
    policy, save, log = said["maxmemory-policy"], said["save"], said["appendonly"]
    found: list[str] = []
    if said["maxmemory"] not in (None, "0") and policy not in (None, "noeviction"):
        found.append(f"it drops keys once its memory is full (maxmemory-policy {policy})")
    if log == "no" and save == "":
        found.append("it keeps nothing on disk (appendonly no, no save)")
    return found


def _setting(answer: Any) -> str | None:
    """The value in an answer to CONFIG GET; None where it may not be asked, or is not known."""
    pairs: Any = [*answer.values()] if isinstance(answer, dict) else answer
    if not isinstance(pairs, list) or not pairs or not isinstance(pairs[-1], bytes):
        return None
    return pairs[-1].decode("utf-8", "replace")
