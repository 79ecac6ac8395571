"""Cached values on a MemoryKV, beside the store that they are kept in."""

from __future__ import annotations

from kvcodec import Cache, Keyspace, MemoryKV, Store
from tests.benchmarks.data import KEYS_IN_USE, PREFERENCES, Preferences, fresh_keys
from tests.benchmarks.registry import Setting, row
from tests.benchmarks.timing import Race, each_one

CACHED = Keyspace("cached", Preferences, ttl=3600)


@row("Cache hit", beside="Store.get of the same keyspace on the same KV")
def cache_hit(_: Setting) -> Race:
    """A value with a lifetime, fresh, on a MemoryKV."""
    kv = MemoryKV()
    store, cached = Store(CACHED, kv), Cache(CACHED, kv)
    for key in fresh_keys(KEYS_IN_USE):
        store.set(key, PREFERENCES)

    def never() -> Preferences:
        raise AssertionError

    def hit(key: str) -> Preferences:
        return cached.get_or_load(key, never)

    return Race(each_one(hit, fresh_keys), each_one(store.get, fresh_keys))
