"""Every backend that needs no package, under the kit that users get."""

from __future__ import annotations

import dbm.dumb
from pathlib import Path

import pytest

from kvcodec.backends.handle import AsyncHandleKV, HandleKV
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.protocols import KV, AsyncKV
from kvcodec.testing import AsyncKVConformance, KVConformance
from tests.engines import Objects, OfBytes

OTHERS = ("other", "part", "part2/key", "Part/key", "par", "")
"""Names outside of ``part/`` that a tenant must neither see nor change."""


class _Absent(Exception):
    """What the clients below raise for a key that they do not have."""


class _RaisingClient:
    """A client as many are: reading or deleting what is not there raises."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        if key not in self._values:
            raise _Absent
        return self._values[key]

    def set(self, key: str, val: bytes) -> None:
        self._values[key] = val

    def delete(self, key: str) -> None:
        if key not in self._values:
            raise _Absent
        del self._values[key]


class _AsyncRaisingClient:
    """``_RaisingClient`` whose methods are coroutines."""

    def __init__(self) -> None:
        self._client = _RaisingClient()

    async def get(self, key: str) -> bytes:
        return self._client.get(key)

    async def set(self, key: str, val: bytes) -> None:
        self._client.set(key, val)

    async def delete(self, key: str) -> None:
        self._client.delete(key)


class _Clocked:
    """The clock that a KV under test was given."""

    now = 1_000_000.0

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class _InAFile:
    """A place for a KV that keeps its values in a file."""

    path: Path

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "kv.db"


class TestMemoryKV(_Clocked, KVConformance):
    """MemoryKV has every capability, and a clock."""

    def make_kv(self) -> MemoryKV:
        return MemoryKV(clock=self.clock)


class TestAsyncMemoryKV(_Clocked, AsyncKVConformance):
    """AsyncMemoryKV likewise."""

    async def make_kv(self) -> AsyncMemoryKV:
        return AsyncMemoryKV(clock=self.clock)


class TestOfBytes(_Clocked, KVConformance):
    """A KV whose tokens stand for bytes."""

    def make_kv(self) -> OfBytes:
        return OfBytes(clock=self.clock)


class TestObjects(_Clocked, KVConformance):
    """Such a KV without conditional deletion and without an order."""

    def make_kv(self) -> Objects:
        return Objects(clock=self.clock)


class TestPrefixKVOverObjects(_Clocked, KVConformance):
    """A part of such a KV."""

    def make_kv(self) -> KV:
        return PrefixKV(Objects(clock=self.clock), "part/")


class TestInAnotherUnit(KVConformance):
    """A KV whose clock moves by itself: the ttl checks are in hundredths of a second."""

    ttl_unit = 0.01

    def make_kv(self) -> MemoryKV:
        self.now = 0.0
        return MemoryKV(clock=lambda: self.now)

    def advance(self, seconds: float) -> None:
        assert seconds < 2  # what may be waited for
        self.now += seconds


class TestMappingKVOverADict(KVConformance):
    """A dict."""

    def make_kv(self) -> MappingKV:
        return MappingKV({})


class TestAsyncMappingKVOverADict(AsyncKVConformance):
    """A dict in an event loop."""

    async def make_kv(self) -> AsyncMappingKV:
        return AsyncMappingKV({})


class TestMappingKVOverADbm(_InAFile, KVConformance):
    """A dbm file, which lists its keys as bytes and belongs to one thread."""

    concurrent = False

    def make_kv(self) -> MappingKV:
        self.file = dbm.dumb.open(str(self.path), "c")  # noqa: SIM115 - close_kv closes it
        return MappingKV(self.file)

    def reopen_kv(self, _kv: object, /) -> MappingKV:
        self.file.close()
        return self.make_kv()

    def close_kv(self, _kv: object, /) -> None:
        self.file.close()


class TestAsyncMappingKVOverADbm(_InAFile, AsyncKVConformance):
    """A dbm file in an event loop."""

    async def make_kv(self) -> AsyncMappingKV:
        self.file = dbm.dumb.open(str(self.path), "c")  # noqa: SIM115 - close_kv closes it
        return AsyncMappingKV(self.file)

    async def reopen_kv(self, _kv: object, /) -> AsyncMappingKV:
        self.file.close()
        return await self.make_kv()

    async def close_kv(self, _kv: object, /) -> None:
        self.file.close()


class TestHandleKV(KVConformance):
    """A client that raises for missing keys."""

    def make_kv(self) -> HandleKV:
        return HandleKV(_RaisingClient(), missing=_Absent)


class TestAsyncHandleKV(AsyncKVConformance):
    """A client that raises for missing keys, awaited."""

    async def make_kv(self) -> AsyncHandleKV:
        return AsyncHandleKV(_AsyncRaisingClient(), missing=_Absent)


def surrounded(kv: KV) -> KV:
    """Return the part ``part/`` of ``kv``, which holds values of others as well."""
    for name in OTHERS:
        kv.set(name, b"of another tenant")
    return PrefixKV(kv, "part/")


def check_surroundings(kv: KV) -> None:
    """Expect the values of others to be as they were."""
    assert {kv.get(name) for name in OTHERS} == {b"of another tenant"}


class TestPrefixKVOverMemory(_Clocked, KVConformance):
    """A part of a KV that has every capability."""

    def make_kv(self) -> KV:
        self.whole = MemoryKV(clock=self.clock)
        return surrounded(self.whole)

    def close_kv(self, _kv: object, /) -> None:
        check_surroundings(self.whole)


class TestPrefixKVNested(_Clocked, KVConformance):
    """A part of a part."""

    def make_kv(self) -> KV:
        self.whole = MemoryKV(clock=self.clock)
        return PrefixKV(surrounded(self.whole), "inner:")

    def close_kv(self, _kv: object, /) -> None:
        check_surroundings(self.whole)


class TestPrefixKVOverADict(KVConformance):
    """A part of a KV that can do little."""

    def make_kv(self) -> KV:
        self.whole = MappingKV({})
        return surrounded(self.whole)

    def close_kv(self, _kv: object, /) -> None:
        check_surroundings(self.whole)


class TestAsyncPrefixKVOverMemory(_Clocked, AsyncKVConformance):
    """A part of an async KV that has every capability."""

    async def make_kv(self) -> AsyncKV:
        self.whole = AsyncMemoryKV(clock=self.clock)
        for name in OTHERS:
            await self.whole.set(name, b"of another tenant")
        return AsyncPrefixKV(self.whole, "part/")

    async def close_kv(self, _kv: object, /) -> None:
        assert {await self.whole.get(name) for name in OTHERS} == {b"of another tenant"}


class TestAsyncPrefixKVOverADict(AsyncKVConformance):
    """A part of an async KV that can do little."""

    async def make_kv(self) -> AsyncKV:
        return AsyncPrefixKV(AsyncMappingKV({"other": b"of another tenant"}), "part/")


class TestSQLiteKV(_InAFile, _Clocked, KVConformance):
    """SQLiteKV has every capability, a clock and a file."""

    def make_kv(self) -> SQLiteKV:
        return SQLiteKV(self.path, clock=self.clock)

    def reopen_kv(self, kv: SQLiteKV, /) -> SQLiteKV:
        kv.close()
        return self.make_kv()


class TestAsyncSQLiteKV(_InAFile, _Clocked, AsyncKVConformance):
    """AsyncSQLiteKV likewise."""

    async def make_kv(self) -> AsyncSQLiteKV:
        return AsyncSQLiteKV(self.path, clock=self.clock)

    async def reopen_kv(self, kv: AsyncSQLiteKV, /) -> AsyncSQLiteKV:
        await kv.aclose()
        return await self.make_kv()
