"""A KV in this process's memory, with everything that a backend can offer.

How it can promise compare-and-set and still read and write as fast as a dict: values live in two
tables. A plain ``set`` is one assignment into the first, without a lock, and a plain ``get`` one
look into it. Values that need more than their bytes (an expiry, a version) live in the second,
one object per write, and that object's identity is the version: while somebody holds it as a
token, no other object can be mistaken for it, whatever bytes it carries.

Two rules keep the tables one store:

1. A key in the first table hides whatever the second holds under it. So a plain ``set`` ends a
   lifetime and outdates every token by its one assignment, and one that lands in the middle of a
   compare-and-set simply happened after it.
2. Everything but a plain ``set`` or a ``get`` that hits holds the lock; it alone takes keys out
   of the first table, and it never writes into it. So it cannot overwrite a plain ``set``.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from threading import RLock

from kvcodec.backends.closing import AsyncClosing, Closing
from kvcodec.errors import ConfigError, forgetful
from kvcodec.protocols import Token

__all__ = ["AsyncMemoryKV", "MemoryKV"]

_SWEEP_FLOOR = 1024
"""Writes into the second table before it is swept for the first time: below it, a sweep would
cost more than the memory it gives back."""


class _Write:
    """One write of a value that has an expiry or was read with its version. Its own token."""

    __slots__ = ("expires", "value")

    def __init__(self, value: bytes, expires: float | None) -> None:
        self.value = value
        self.expires = expires


class _Values(dict[str, bytes]):
    """The first table; what it does not hold is looked for in the second.

    ``__missing__`` is what lets ``MemoryKV.get`` be the dict's own C method, for good: an object
    that swapped its ``get`` later would be wrong for everyone who bound it before.
    """

    __slots__ = ("clock", "lock", "writes")

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock
        # Reentrant, because a signal handler or a finaliser may use the KV in mid-operation.
        self.lock = RLock()
        self.writes: dict[str, _Write] = {}

    def __missing__(self, key: str) -> bytes | None:
        with self.lock:
            value = self.get(key)  # a set since the first look, before the lock was ours
            if value is not None:
                return value
            write = self.live(key)
            return None if write is None else write.value

    def live(self, key: str) -> _Write | None:
        """Return what the second table holds under ``key`` unless it expired. Needs the lock."""
        write = self.writes.get(key)
        if write is None or write.expires is None or self.clock() < write.expires:
            return write
        del self.writes[key]
        return None

    def current(self, key: str) -> _Write | None:
        """Return the write that ``key`` holds now, moved to the second table. Needs the lock."""
        value = self.pop(key, None)
        if value is None:
            return self.live(key)
        write = self.writes[key] = _Write(value, None)
        return write

    def unchanged(self, key: str, token: Token) -> bool:
        """Say whether ``key`` still holds the write that ``token`` is. Needs the lock."""
        return key not in self and token is not None and self.live(key) is token


class MemoryKV(Closing):
    """Values in memory, gone with the process; for tests, for caches and as a first backend.

    Safe to share between threads: each operation happens at one moment, ``set_many`` and
    ``delete_many`` key by key. Reading or writing a value without ttl costs what the same costs on
    a dict; a miss, and a value with a ttl or read by ``get_versioned``, cost a lock as well.

    ``clock`` gives the time in seconds, as ``time.time`` does; lifetimes are measured by it. An
    expired value reads as absent at once; the memory is given back when it is read, by
    ``purge``, or by later writes with a ttl or a version.
    """

    # No __slots__: pyright would take a callable in a slot for a method and bind it again.

    ordered = True

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._values = _Values(clock)
        self._next_sweep = _SWEEP_FLOOR
        self.get: Callable[[str], bytes | None] = self._values.__getitem__
        """Return the value stored under the key, or None if there is none."""

    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``; a ttl it had ends."""
        self._values[key] = value

    def delete(self, key: str, /) -> None:
        """Remove ``key``; no error if it is absent."""
        values = self._values
        with values.lock:
            values.pop(key, None)
            values.writes.pop(key, None)

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``."""
        return self.get(key) is not None

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there; absent keys are left out."""
        get = self.get
        return {key: value for key in keys if (value := get(key)) is not None}

    @forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item."""
        self._values.update(items)

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key; absent ones are no error."""
        for key in keys:
            self.delete(key)

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield the keys that start with ``prefix`` and are greater than ``start_after``.

        In the order of their UTF-8 bytes, which is the order of their characters. The list is
        taken once, at the first step: keys written or deleted later do not change it.
        """
        values = self._values
        with values.lock:
            names = {*values, *filter(values.live, list(values.writes))}
        yield from sorted(name for name in names if name.startswith(prefix) and name > start_after)

    @forgetful
    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        _check_lasts(ttl)
        values = self._values
        with values.lock:
            values.pop(key, None)  # before the write: a sweep takes a hidden one for outdated
            self._write(key, value, ttl)

    @forgetful
    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds."""
        for key, value in items.items():
            self.set_with_ttl(key, value, ttl)

    @forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value``, for ``ttl`` seconds if given, unless ``key`` holds one; say whether."""
        _check_lasts(ttl)
        values = self._values
        with values.lock:
            if key in values or values.live(key) is not None:
                return False
            self._write(key, value, ttl)
            return True

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        values = self._values
        with values.lock:
            write = values.current(key)
            return None if write is None else (write.value, write)

    @forgetful
    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if nothing was written since ``token``; say whether it was.

        The new value lives ``ttl`` seconds, or for good if that is None.
        """
        _check_lasts(ttl)
        values = self._values
        with values.lock:
            if not values.unchanged(key, token):
                return False
            self._write(key, value, ttl)
            return True

    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if nothing was written since ``token``; say whether it was."""
        values = self._values
        with values.lock:
            if not values.unchanged(key, token):
                return False
            del values.writes[key]
            return True

    def purge(self) -> int:
        """Give back the memory of expired values now; return how many there were."""
        values = self._values
        with values.lock:
            for hidden in [key for key in values.writes if key in values]:
                del values.writes[hidden]
            before = len(values.writes)
            kept = sum(values.live(key) is not None for key in list(values.writes))
            self._next_sweep = max(_SWEEP_FLOOR, 2 * kept)
            return before - kept

    def _write(self, key: str, value: bytes, ttl: float | None) -> None:
        """Put a write into the second table. Needs the lock."""
        values = self._values
        expires = None if ttl is None else values.clock() + ttl
        values.writes[key] = _Write(value, expires)
        if len(values.writes) > self._next_sweep:  # at twice what was left: constant per write
            self.purge()

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies these tables, and the key's name in them."""
        return ("handle", id(self._values)), key


class AsyncMemoryKV(AsyncClosing):
    """``MemoryKV`` whose methods are coroutines; none of them ever waits for anything.

    ``clock`` gives the time in seconds, as ``time.time`` does; lifetimes are measured by it. An
    expired value reads as absent at once; the memory is given back when it is read, by
    ``purge``, or by later writes with a ttl or a version.
    """

    __slots__ = ("_get", "_kv")

    ordered = True

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = MemoryKV(clock=clock)
        self._get = self._kv.get

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return self._get(key)

    async def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``; a ttl it had ends."""
        self._kv.set(key, value)

    async def delete(self, key: str, /) -> None:
        """Remove ``key``; no error if it is absent."""
        self._kv.delete(key)

    async def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``."""
        return self._kv.exists(key)

    async def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there; absent keys are left out."""
        return self._kv.get_many(keys)

    @forgetful
    async def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item."""
        self._kv.set_many(items)

    async def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key; absent ones are no error."""
        self._kv.delete_many(keys)

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        """Yield the keys that start with ``prefix`` and are greater than ``start_after``.

        In the order of their UTF-8 bytes, which is the order of their characters. The list is
        taken once, at the first step: keys written or deleted later do not change it.
        """
        for key in self._kv.scan_keys(prefix, start_after):
            yield key

    @forgetful
    async def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        self._kv.set_with_ttl(key, value, ttl)

    @forgetful
    async def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds."""
        self._kv.set_many_with_ttl(items, ttl)

    @forgetful
    async def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value``, for ``ttl`` seconds if given, unless ``key`` holds one; say whether."""
        return self._kv.set_if_absent(key, value, ttl)

    async def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        return self._kv.get_versioned(key)

    @forgetful
    async def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None, /
    ) -> bool:
        """Replace the value if nothing was written since ``token``; say whether it was.

        The new value lives ``ttl`` seconds, or for good if that is None.
        """
        return self._kv.set_if_version(key, value, token, ttl)

    async def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if nothing was written since ``token``; say whether it was."""
        return self._kv.delete_if_version(key, token)

    async def purge(self) -> int:
        """Give back the memory of expired values now; return how many there were."""
        return self._kv.purge()

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies these tables, and the key's name in them."""
        return self._kv.backing(key)


def _check_lasts(ttl: float | None) -> None:
    if ttl is not None and not 0 < ttl < math.inf:
        raise ConfigError("a ttl is a number of seconds above 0, and finite")
