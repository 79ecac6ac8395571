"""What the tests of maintenance share: rings before and after a rotation, KVs, both twins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kvcodec import (
    AESGCMCipher,
    AsyncMemoryKV,
    AsyncStore,
    Cipher,
    KeyRing,
    Keyspace,
    MappingKV,
    MemoryKV,
    Store,
)
from tests.servers.engines import ENGINES

OLD, NEW = KeyRing.generate_key(), KeyRing.generate_key()

BEFORE = KeyRing(OLD)
ROTATED = KeyRing(NEW, retired=[OLD])
AFTER = KeyRing(NEW)
"""Of a rotation: the ring before it, the ring that it takes, and the ring once it is over."""


def sealed(ring: KeyRing, **options: Any) -> Keyspace[str, str]:
    """A keyspace of tokens that are sealed with the quick cipher."""
    keyspace: Any = Keyspace  # the options are those of each test
    declared: Keyspace[str, str] = keyspace("tokens", str, cipher=AESGCMCipher(ring), **options)
    return declared


class Clock:
    """A clock that a test sets, in seconds since the epoch."""

    now = 1_700_000_000.123

    def __call__(self) -> float:
        return self.now


class Bare:
    """A KV with the three methods and ``exists``, as Dify's storage: it cannot list."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str, /) -> bytes | None:
        return self.values.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self.values.pop(key, None)

    def exists(self, key: str, /) -> bool:
        return key in self.values


class Between:
    """A KV around another: before an operation, something else happens."""

    def __init__(self, kv: Any, happens: Callable[[str, str], object]) -> None:
        self._kv = kv
        self._happens = happens

    def get(self, key: str, /) -> bytes | None:
        value: bytes | None = self._call("get", key)
        return value

    def set(self, key: str, value: bytes, /) -> None:
        self._call("set", key, value)

    def delete(self, key: str, /) -> None:
        self._call("delete", key)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kv, name)
        # Where the lock of a key is looked up, nothing is done to the KV.
        is_operation = callable(found) and name != "backing"
        return partial(self._call, name) if is_operation else found

    def _call(self, name: str, key: str, /, *rest: Any) -> Any:
        self._happens(name, key)
        return getattr(self._kv, name)(key, *rest)


class Counting:
    """A user's own cipher, around another, that counts what it is asked."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self.decrypted = 0
        self.encrypted = 0

    cipher_id = 200

    @property
    def key_id(self) -> bytes:
        return self._cipher.key_id

    def encrypt(self, plaintext: bytes, associated_data: bytes, /) -> bytes:
        self.encrypted += 1
        return self._cipher.encrypt(plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes, key_id: bytes, /) -> bytes:
        self.decrypted += 1
        return self._cipher.decrypt(ciphertext, associated_data, key_id)


class Twin:
    """A store or its async twin over one dict of stored bytes: called in the same way."""

    def __init__(
        self,
        kind: str,
        keyspace: Keyspace[Any, Any],
        values: Mapping[str, bytes] | None = None,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._async = kind == "async"
        self.kv: Any = AsyncMemoryKV() if self._async else MemoryKV()
        for raw_key, data in (values or {}).items():
            self._done(self.kv.set(raw_key, data))
        make: Any = AsyncStore if self._async else Store
        self._clock = clock or Clock()
        self.store = make(keyspace, self.kv, clock=self._clock)

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the store and wait for its result."""
        return self._done(getattr(self.store, method)(*arguments, **options))

    def reopened(self, keyspace: Keyspace[Any, Any]) -> Twin:
        """The same values, opened by another declaration."""
        return Twin("async" if self._async else "sync", keyspace, self.stored(), clock=self._clock)

    def stored(self) -> dict[str, bytes]:
        """Everything that is stored, under its raw key."""
        if not self._async:
            return {name: self.kv.get(name) for name in self.kv.scan_keys("")}
        return asyncio.run(self._stored())

    async def _stored(self) -> dict[str, bytes]:
        return {name: await self.kv.get(name) async for name in self.kv.scan_keys("")}

    def _done(self, result: Any) -> Any:
        return asyncio.run(_awaited(result)) if self._async else result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def filled(
    keyspace: Keyspace[Any, Any], items: Mapping[Any, Any], *, now: float = 1e9
) -> dict[str, bytes]:
    """The stored bytes of ``items``, by raw key."""
    return dict(keyspace.pack(key, value, now=now) for key, value in items.items())


def opened(
    keyspace: Keyspace[Any, Any], kv: Any, keys: Iterable[Any], now: float = 1e9
) -> dict[Any, Any]:
    """The values of ``keys``, read past the store: what a process with this ring would see."""
    values: dict[Any, Any] = {}
    for key in keys:
        raw_key = keyspace.raw_key(key)
        values[key] = keyspace.unpack(raw_key, kv.get(raw_key), now=now)
    return values


def memory(values: Mapping[str, bytes]) -> MemoryKV:
    """A KV with compare-and-set that holds ``values``."""
    kv = MemoryKV()
    for raw_key, data in values.items():
        kv.set(raw_key, data)
    return kv


def on_redis(values: Mapping[str, bytes]) -> Any:
    """A Redis that holds ``values``."""
    return _holding(ENGINES["redis"], values)


def on_postgres(values: Mapping[str, bytes]) -> Any:
    """A PostgreSQL that holds ``values``."""
    return _holding(ENGINES["postgres"], values)


def _holding(make: Callable[[], Any], values: Mapping[str, bytes]) -> Any:
    kv = make()
    kv.set_many(dict(values))
    return kv


def plain_dict(values: Mapping[str, bytes]) -> MappingKV:
    """A KV without compare-and-set, listed in no order, that holds ``values``."""
    return MappingKV(dict(values))
