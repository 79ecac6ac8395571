"""``KVStore`` under py-key-value's own ``BaseStoreTests``, for test_pykeyvalue_suite.py alone.

It runs in a process of its own, where the package ``tests`` is that of their repository.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cachetools import LRUCache

from kvcodec import AsyncMemoryKV, AsyncSQLiteKV, KeyRing, open_async_kv
from kvcodec.integrations.pykeyvalue import KVStore

if TYPE_CHECKING:

    class BaseStoreTests:
        """Theirs."""

else:
    BaseStoreTests = import_module("tests.stores.base").BaseStoreTests


class TestBounded(BaseStoreTests):
    """On a mapping that holds 500 values, as their MemoryStore is tried: all of theirs."""

    @pytest.fixture
    async def store(self) -> KVStore:
        """On a mapping, as it is."""
        return KVStore(LRUCache[str, bytes](500), cipher=KeyRing.generate())


class Unbounded(BaseStoreTests):
    """What keeps all that it is given, as their stores on disks and servers do."""

    async def test_not_unbounded(self, store: KVStore) -> None:
        """In place of theirs, which their own unbounded stores skip: nothing is lost."""
        keys = [f"test_key_{number}" for number in range(1000)]
        for key in keys:
            await store.put(key, {"test": key}, collection="test_collection")
        found = await store.get_many(keys, collection="test_collection")
        assert found == [{"test": key} for key in keys]


class TestMemory(Unbounded):
    """In memory, not sealed."""

    @pytest.fixture
    async def store(self) -> KVStore:
        """In memory."""
        return KVStore(AsyncMemoryKV())


class TestSQLite(Unbounded):
    """In a file, sealed."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[KVStore]:
        """A file for each."""
        async with AsyncSQLiteKV(tmp_path / "store.db") as kv:
            yield KVStore(kv, cipher=KeyRing.generate())


class TestRedis(Unbounded):
    """On a server, sealed."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[KVStore]:
        """The server is one for all: emptied by the adapter's own means."""
        async with open_async_kv(os.environ["REDIS_URL"]) as kv:
            store = KVStore(kv, cipher=KeyRing.generate())
            await store.destroy()
            yield store
