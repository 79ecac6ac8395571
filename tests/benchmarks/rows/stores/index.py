"""A new key of an indexed keyspace on three methods: what it costs at any number of keys.

Names have 30 bytes. Rows of bytes count and do not measure time: KiB stand where the others have
microseconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from hashlib import sha256

from kvcodec import Keyspace, Store
from kvcodec.format.index import FIRST, Shard, shard_of, spell_shard
from kvcodec.plans.index import MEAN
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.timing import Race, Round, each_one

SEEN = Keyspace("p", int, indexed=True)
FEW, MANY = 1_000, 100_000


class Three:
    """A KV with three methods that adds up what is written of the index."""

    def __init__(self, data: dict[str, bytes]) -> None:
        self.data = data
        self.written = 0

    def get(self, key: str, /) -> bytes | None:
        return self.data.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.written += len(value) if "!" in key else 0
        self.data[key] = value

    def delete(self, key: str, /) -> None:
        self.data.pop(key, None)


def name(number: int) -> str:
    """A key whose name has 30 bytes, and little in common with others."""
    return sha256(str(number).encode()).hexdigest()[:28]


@cache
def stored(count: int) -> dict[str, bytes]:
    """The index of so many keys, as large as it would have become, written at once."""
    total = max(FIRST, -(-count * 31 // MEAN))
    shards = [Shard(entries={}) for _ in range(total)]
    for number in range(count):
        raw_key = f"p/{name(number)}"
        shards[shard_of(raw_key, total)].entries[raw_key] = 0
    shards[0].count = total
    return {f"p!i{number}": spell_shard(shard) for number, shard in enumerate(shards)}


def adding(count: int) -> Round:
    """A round of new keys to an index that has so many when the round begins."""
    kv = Three(dict(stored(count)))
    store, numbers = Store(SEEN, kv), itertools.count(count)  # a key that it remembers is not new

    def fresh(calls: int) -> list[str]:
        kv.data.clear()
        kv.data.update(stored(count))
        return [name(number) for number in itertools.islice(numbers, calls)]

    return each_one(lambda key: store.set(key, 1), fresh)


@cache
def written(count: int) -> float:
    """Bytes that a new key writes to an index of so many keys, splits included."""
    kv = Three(dict(stored(count)))
    store = Store(SEEN, kv)
    for number in range(count, count + 300):
        store.set(name(number), 1)
    return kv.written / 300


def kib(size: Callable[[], float]) -> Round:
    """A round that says how many KiB were written, each time the same."""
    return lambda calls: size() * calls * 1_000 / 1024


@row("Index, a new key at 100,000 keys", beside="Index, a new key at 1,000", target=at_most(1.5))
def new_key(_: Setting) -> Race:
    """The same index, larger."""
    return Race(adding(MANY), adding(FEW), calls=100)


@row("Index, a new key at 100,000: KiB", beside="Index, a new key at 1,000", target=at_most(1.5))
def bytes_of_new_key(_: Setting) -> Race:
    """What it writes beside its value."""
    return Race(kib(lambda: written(MANY)), kib(lambda: written(FEW)), calls=1)
