"""RedisKV beside redis-py's own calls, and beside py-key-value-aio's store on Redis.

One server for all sides, each with a client of its own. Values are 1 KiB of bytes for RedisKV; a
Store has the six fields that other rows have, some 100 bytes, beside the bare client with the same
bytes, which has nothing to encode; for many values at once beside the client and msgspec's lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from typing import Any

import msgspec
import redis
from redis import asyncio as aioredis

from kvcodec import AsyncRedisKV, AsyncStore, RedisKV, Store
from tests.benchmarks.data import KEYS_IN_USE, PREFERENCES, Preferences, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.peers import adapter_of, model_of_preferences, runner_of
from tests.benchmarks.rows.stores.plain import CHECKED
from tests.benchmarks.timing import Race, Round, awaited_one, awaited_two, each_one, each_two

BARE = "redis-py's own call"

CALLS = 10
"""Short rounds: more of them find a server that is not interrupted."""

VALUE = bytes(range(256)) * 4
KEYS = fresh_keys(100)
ITEMS = dict.fromkeys(KEYS, VALUE)
STRUCTS = dict.fromkeys(KEYS, PREFERENCES)
ENCODED = msgspec.json.encode(PREFERENCES)

THEIRS = "PydanticAdapter on its RedisStore"
NEEDS = ("key_value.aio.stores.redis", "key_value.aio.adapters.pydantic")


def client_of(setting: Setting) -> redis.Redis:
    """A client of its own, closed with the row."""
    client = redis.Redis(port=setting.servers.redis.port)
    setting.stack.callback(client.close)
    return client


def kv_of(setting: Setting) -> RedisKV:
    """A KV that has all keys."""
    kv = RedisKV(client_of(setting))
    kv.set_many(dict.fromkeys(fresh_keys(KEYS_IN_USE), VALUE))
    return kv


def again(call: Callable[[Any], object], argument: Any) -> Round:
    """A round of calls with the same many keys or items."""
    return each_one(call, lambda calls: [*repeat(argument, calls)])


@row("RedisKV get, 1 KiB", beside=BARE, target=at_most(1.05))
def redis_get(setting: Setting) -> Race:
    """Beside ``client.get``."""
    kv, bare = kv_of(setting), client_of(setting)
    return Race(each_one(kv.get, fresh_keys), each_one(bare.get, fresh_keys), CALLS)


@row("RedisKV set, 1 KiB", beside=BARE, target=at_most(1.05))
def redis_set(setting: Setting) -> Race:
    """Beside ``client.set``."""
    kv, bare, pairs = kv_of(setting), client_of(setting), pairs_of(VALUE)
    return Race(each_two(kv.set, pairs), each_two(bare.set, pairs), CALLS)


@row("RedisKV get_many of 100, 1 KiB", beside=BARE, target=at_most(1.05))
def redis_get_many(setting: Setting) -> Race:
    """Beside ``client.mget``."""
    kv, bare = kv_of(setting), client_of(setting)
    return Race(again(kv.get_many, KEYS), again(bare.mget, KEYS), calls=2)


@row("RedisKV set_many of 100, 1 KiB", beside=BARE, target=at_most(1.05))
def redis_set_many(setting: Setting) -> Race:
    """Beside ``client.mset``."""
    kv, bare = kv_of(setting), client_of(setting)
    return Race(again(kv.set_many, ITEMS), again(bare.mset, ITEMS), calls=2)


@row("RedisKV set_many of 100 with a ttl", beside="set_many without one", target=at_most(1.5))
def redis_set_many_ttl(setting: Setting) -> Race:
    """Which the server has no command for."""
    kv, other = kv_of(setting), kv_of(setting)

    def with_ttl(items: dict[str, bytes]) -> None:
        kv.set_many_with_ttl(items, 3600.0)

    return Race(again(with_ttl, ITEMS), again(other.set_many, ITEMS), calls=2)


@row("AsyncRedisKV get, 1 KiB", beside=BARE, target=at_most(1.05))
def async_redis_get(setting: Setting) -> Race:
    """Both awaited."""
    kv_of(setting)
    runner = runner_of(setting)
    ours, theirs = (async_client_of(setting, runner) for _ in range(2))
    get = AsyncRedisKV(ours).get
    return Race(
        awaited_one(runner, get, fresh_keys), awaited_one(runner, theirs.get, fresh_keys), CALLS
    )


@row("AsyncRedisKV set, 1 KiB", beside=BARE, target=at_most(1.05))
def async_redis_set(setting: Setting) -> Race:
    """Both awaited."""
    runner, pairs = runner_of(setting), pairs_of(VALUE)
    ours, theirs = (async_client_of(setting, runner) for _ in range(2))
    set_ = AsyncRedisKV(ours).set
    return Race(awaited_two(runner, set_, pairs), awaited_two(runner, theirs.set, pairs), CALLS)


@row("Store get on RedisKV", beside=BARE, target=at_most(1.15))
def redis_store_get(setting: Setting) -> Race:
    """The bare client gets the bytes and no more."""
    store, bare = Store(CHECKED, RedisKV(client_of(setting))), client_of(setting)
    for key in fresh_keys(KEYS_IN_USE):
        store.set(key, PREFERENCES)
        bare.set(key, ENCODED)
    return Race(each_one(store.get, fresh_keys), each_one(bare.get, fresh_keys), CALLS)


@row("Store set on RedisKV", beside=BARE, target=at_most(1.15))
def redis_store_set(setting: Setting) -> Race:
    """The bare client has the bytes."""
    store, bare = Store(CHECKED, RedisKV(client_of(setting))), client_of(setting)
    ours, theirs = pairs_of(PREFERENCES), pairs_of(ENCODED)
    return Race(each_two(store.set, ours), each_two(bare.set, theirs), CALLS)


@row("Store get_many of 100 on RedisKV", beside=f"{BARE} + msgspec lines", target=at_most(1.15))
def redis_store_get_many(setting: Setting) -> Race:
    """Both decode."""
    store, bare = Store(CHECKED, RedisKV(client_of(setting))), client_of(setting)
    store.set_many(STRUCTS)
    decode = msgspec.json.Decoder(Preferences).decode

    def get_many(keys: list[str]) -> dict[str, Preferences]:
        found: Any = bare.mget([f"preferences/{key}" for key in keys])
        pairs = zip(keys, found, strict=True)
        return {key: decode(data) for key, data in pairs if data is not None}

    assert get_many(KEYS) == store.get_many(KEYS)
    return Race(again(store.get_many, KEYS), again(get_many, KEYS), calls=2)


@row("Store set_many of 100 on RedisKV", beside=f"{BARE} + msgspec lines", target=at_most(1.15))
def redis_store_set_many(setting: Setting) -> Race:
    """Both encode; ours validates."""
    store, bare = Store(CHECKED, RedisKV(client_of(setting))), client_of(setting)
    encode = msgspec.json.Encoder().encode

    def set_many(items: dict[str, Preferences]) -> None:
        bare.mset({f"preferences/{key}": encode(value) for key, value in items.items()})

    return Race(again(store.set_many, STRUCTS), again(set_many, STRUCTS), calls=2)


# ----------------------------------------------------------------------- py-key-value-aio


def async_client_of(setting: Setting, runner: asyncio.Runner, *, decode: bool = False) -> Any:
    """A client of asyncio, closed with the row."""
    client: Any = aioredis.Redis(port=setting.servers.redis.port, decode_responses=decode)
    setting.stack.callback(lambda: runner.run(client.aclose()))
    return client


def their_adapter(setting: Setting, runner: asyncio.Runner, model: Any) -> Any:
    """Their adapter on their store, which wants a client that decodes."""
    store = import_module(NEEDS[0]).RedisStore(client=async_client_of(setting, runner, decode=True))
    return adapter_of(model, store)


def our_store(setting: Setting, runner: asyncio.Runner) -> AsyncStore[Preferences, str]:
    """Ours."""
    return AsyncStore(CHECKED, AsyncRedisKV(async_client_of(setting, runner)))


@row("AsyncStore get on Redis, beside py-key-value-aio", beside=THEIRS, needs=NEEDS)
def redis_get_beside_adapter(setting: Setting) -> Race:
    """Both awaited."""
    runner, model = runner_of(setting), model_of_preferences()
    ours, theirs = our_store(setting, runner), their_adapter(setting, runner, model)
    value = model(**msgspec.to_builtins(PREFERENCES))

    async def fill() -> None:
        for key in fresh_keys(KEYS_IN_USE):
            await theirs.put(key, value)
            await ours.set(key, PREFERENCES)
        assert await theirs.get("user-0") == value

    runner.run(fill())
    return Race(
        awaited_one(runner, ours.get, fresh_keys),
        awaited_one(runner, theirs.get, fresh_keys),
        CALLS,
    )


@row("AsyncStore set on Redis, beside py-key-value-aio", beside=THEIRS, needs=NEEDS)
def redis_set_beside_adapter(setting: Setting) -> Race:
    """Both awaited."""
    runner, model = runner_of(setting), model_of_preferences()
    ours, theirs = our_store(setting, runner), their_adapter(setting, runner, model)
    value = model(**msgspec.to_builtins(PREFERENCES))
    return Race(
        awaited_two(runner, ours.set, pairs_of(PREFERENCES)),
        awaited_two(runner, theirs.put, pairs_of(value)),
        CALLS,
    )
