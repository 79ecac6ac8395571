"""What type checkers infer: checked by test_typing.py, never run."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, assert_type
from uuid import UUID

import attrs
import msgspec
import psycopg
import pydantic
import redis
import redis.asyncio
from nats.js.kv import KeyValue
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from kvcodec import (
    KV,
    AsyncCache,
    AsyncFiles,
    AsyncKV,
    AsyncMemoryKV,
    AsyncObjectKV,
    AsyncPostgresKV,
    AsyncRedisKV,
    AsyncSQLiteKV,
    AsyncStore,
    AsyncValue,
    Cache,
    CacheStats,
    FernetCipher,
    FileInfo,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    MappingKV,
    MemoryKV,
    NatsKV,
    ObjectKV,
    Ordered,
    PathKeys,
    PostgresKV,
    PrefixKV,
    RedisKV,
    Secret,
    SQLiteKV,
    Store,
    TemplateKeys,
    Value,
    check_atomic,
    open_async_kv,
    open_kv,
)


class Preferences(msgspec.Struct):
    theme: Literal["light", "dark"] = "light"


class Message(msgspec.Struct):
    text: str


class Reply(Message):
    to: int = 0


class Text(msgspec.Struct, tag=True):
    text: str


class Image(msgspec.Struct, tag=True):
    url: str


@dataclass
class Point:
    x: float


@attrs.define
class Device:
    serial: str


class Model(pydantic.BaseModel):
    name: str


class Options(TypedDict, total=False):
    size: int


class Chat(NamedTuple):
    user: str
    number: Annotated[int, Ordered()]


class Mood(enum.Enum):
    CALM = "calm"


Part = Text | Image

# ------------------------------------------------------------------------------- declarations

PREFERENCES = Keyspace("preferences", Preferences)
HISTORY = Keyspace("history", list[Message], key=Chat)
SETTINGS = Keyspace("settings", Preferences, key=None)

assert_type(PREFERENCES, Keyspace[Preferences, str])
assert_type(HISTORY, Keyspace[list[Message], Chat])
assert_type(SETTINGS, Keyspace[Preferences, None])
assert_type(Keyspace("a", bytes), Keyspace[bytes, str])
assert_type(Keyspace("a", str), Keyspace[str, str])
assert_type(Keyspace("a", Point), Keyspace[Point, str])
assert_type(Keyspace("a", Device), Keyspace[Device, str])
assert_type(Keyspace("a", Model), Keyspace[Model, str])
assert_type(Keyspace("a", Options), Keyspace[Options, str])
assert_type(Keyspace("a", Mood), Keyspace[Mood, str])
assert_type(Keyspace("a", dict[str, int]), Keyspace[dict[str, int], str])
assert_type(Keyspace("a", tuple[int, str]), Keyspace[tuple[int, str], str])
assert_type(Keyspace("a", Part), Keyspace[Text | Image, str])
assert_type(Keyspace("a", Text | Image), Keyspace[Text | Image, str])
assert_type(Keyspace("a", int | None), Keyspace[int | None, str])
assert_type(Keyspace("a", list[Text | Image]), Keyspace[list[Text | Image], str])
assert_type(Keyspace("a", Literal["on", "off"]), Keyspace[Literal["on", "off"], str])
assert_type(Keyspace("a", Annotated[int, msgspec.Meta(ge=0)]), Keyspace[int, str])

assert_type(Keyspace("a", int, key=str), Keyspace[int, str])
assert_type(Keyspace("a", int, key=int), Keyspace[int, int])
assert_type(Keyspace("a", int, key=UUID), Keyspace[int, UUID])
assert_type(Keyspace("a", int, key=date), Keyspace[int, date])
assert_type(Keyspace("a", int, key=Mood), Keyspace[int, Mood])
assert_type(Keyspace("a", int, key=tuple[str, int]), Keyspace[int, tuple[str, int]])
assert_type(Keyspace("a", int | None, key=Chat), Keyspace[int | None, Chat])
assert_type(Keyspace("a", int | None, key=None), Keyspace[int | None, None])
assert_type(Keyspace("a", int, keys=TemplateKeys("a:{id}")), Keyspace[int, str])
assert_type(Keyspace("a", int, keys=TemplateKeys("{user}:{number}", Chat)), Keyspace[int, Chat])
assert_type(Keyspace("a", int, keys=PathKeys()), Keyspace[int, str])
assert_type(Keyspace("a", int, key=None, keys=TemplateKeys("a", None)), Keyspace[int, None])
# Keyspaces of any types, for what is done with all of them.
ALL: list[Keyspace[Any, Any]] = [Keyspace("a", int), Keyspace("b", str, key=Chat)]

RING = KeyRing.generate()
assert_type(RING, KeyRing)
# Schemes that take the type of their keys from key=, made in place or before.
HASHED = HashedKeys(limit=100)
assert_type(Keyspace("a", int, keys=HashedKeys()), Keyspace[int, str])
assert_type(Keyspace("a", int, key=Chat, keys=HASHED), Keyspace[int, Chat])
assert_type(Keyspace("a", int, key=Chat, keys=PathKeys()), Keyspace[int, Chat])
assert_type(Keyspace("a", int, key=Chat, keys=HiddenKeys(RING), cipher=RING), Keyspace[int, Chat])
assert_type(KeyRing.from_env("KEYS"), KeyRing)
assert_type(KeyRing.generate_key(), str)
assert_type(RING.primary, str)
assert_type(RING.retired, tuple[str, ...])
assert_type(
    Keyspace(
        "a",
        int,
        key=UUID,
        encoding="msgpack",
        cipher=RING,
        ttl=timedelta(hours=1),
        validate=False,
        max_bytes=100,
        max_depth=3,
    ),
    Keyspace[int, UUID],
)
assert_type(Keyspace("a", int, cipher=FernetCipher(RING), ttl=1.5), Keyspace[int, str])
assert_type(Keyspace("a", int, checksum=True, ttl=5), Keyspace[int, str])


class Backwards:
    """A codec of one's own."""

    def encode(self, value: str, /) -> bytes:
        return value[::-1].encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode()[::-1]


assert_type(Keyspace("a", str, encoding=Backwards()), Keyspace[str, str])


def the_heart() -> None:
    """Names and bytes without a store."""
    assert_type(HISTORY.raw_key(Chat("ada", 7)), str)
    assert_type(HISTORY.key("history/ada/p0"), Chat)
    assert_type(HISTORY.pack(Chat("ada", 7), [], now=0.0), tuple[str, bytes])
    assert_type(HISTORY.unpack("history/ada/p0", b"[]", now=0.0), list[Message])
    assert_type(HISTORY.prefix, str)
    assert_type(HISTORY.name, str)
    assert_type(HISTORY.ttl, float | None)


# -------------------------------------------------------------------------------------- stores


def a_store(kv: KV) -> None:
    """Every method of a store."""
    prefs = Store(PREFERENCES, kv)
    assert_type(prefs, Store[Preferences, str])
    assert_type(prefs.get("ada"), Preferences | None)
    assert_type(prefs.get("ada", None), Preferences | None)
    assert_type(prefs.get("ada", Preferences()), Preferences)
    assert_type(prefs.get("ada", 5), Preferences | int)
    assert_type(prefs.require("ada"), Preferences)
    assert_type(prefs["ada"], Preferences)
    assert_type("ada" in prefs, bool)
    assert_type(prefs.exists("ada"), bool)
    assert_type(prefs.pop("ada"), Preferences | None)
    assert_type(prefs.pop("ada", Preferences()), Preferences)
    assert_type(prefs.pop("ada", 5), Preferences | int)
    assert_type(prefs.add("ada", Preferences(), ttl=5), bool)
    assert_type(prefs.update("ada", lambda _: Preferences(), default=Preferences()), Preferences)
    assert_type(prefs.get_many(["ada"]), dict[str, Preferences])
    assert_type(prefs.keys(), Iterator[str])
    assert_type(prefs.keys(under=("ada", 7)), Iterator[str])
    assert_type(prefs.items(under=()), Iterator[tuple[str, Preferences]])
    assert_type(prefs.items(), Iterator[tuple[str, Preferences]])
    assert_type(list(prefs), list[str])
    assert_type(len(prefs), int)
    assert_type(prefs.count(), int)
    assert_type(prefs.mapping(), MutableMapping[str, Preferences])
    assert_type(prefs.keyspace, Keyspace[Preferences, str])
    prefs.set("ada", Preferences(theme="dark"), ttl=timedelta(minutes=1))
    prefs["ada"] = Preferences()
    prefs.set_many({"ada": Preferences()})
    prefs.set_many([("ada", Preferences())])
    prefs.delete_many(("ada",))
    prefs.delete("ada")
    del prefs["ada"]


def literals_in_context(kv: KV) -> None:
    """What is written beside a bound store needs no annotation."""
    history = Store(HISTORY, kv)
    assert_type(history.get(Chat("ada", 7), []), list[Message])
    assert_type(history.pop(Chat("ada", 7), []), list[Message])
    history.set(Chat("ada", 7), [Reply("hello")])
    history.update(Chat("ada", 7), lambda messages: [*messages, Reply("hello")], default=[])
    assert_type(Store(Keyspace("a", dict[str, int]), kv).get("x", {}), dict[str, int])


def a_default_that_says_more(kv: KV) -> None:
    """A value that may be None, and defaults of other types."""
    maybe = Store(Keyspace("a", int | None), kv)
    assert_type(maybe.get("a"), int | None)
    assert_type(maybe.get("a", 5), int | None)
    assert_type(maybe.get("a", "none"), int | str | None)
    assert_type(maybe.require("a"), int | None)


def a_value(kv: KV) -> None:
    """Every method of a single value."""
    settings = Value(SETTINGS, kv)
    assert_type(settings, Value[Preferences])
    assert_type(settings.get(), Preferences | None)
    assert_type(settings.get(Preferences()), Preferences)
    assert_type(settings.get(5), Preferences | int)
    assert_type(settings.require(), Preferences)
    assert_type(settings.update(lambda _: Preferences(), default=Preferences()), Preferences)
    assert_type(settings.exists(), bool)
    settings.set(Preferences(), ttl=3.5)
    settings.delete()


def annotated(kv: KV) -> None:
    """``Store[Preferences]`` is complete: keys are str unless said otherwise."""
    short: Store[Preferences] = Store(PREFERENCES, kv)
    full: Store[Preferences, str] = short
    declared: Keyspace[Preferences] = PREFERENCES
    assert_type(full.get("ada"), Preferences | None)
    assert_type(declared.raw_key("ada"), str)


def handles() -> None:
    """What a store opens."""
    held: dict[str, bytes] = {}
    for kv in (held, MemoryKV(), MappingKV(held), PrefixKV(MemoryKV(), "a/"), open_kv("memory:")):
        Store(PREFERENCES, kv)
    with SQLiteKV("app.db") as kv:
        Store(PREFERENCES, kv, clock=lambda: datetime.now(UTC).timestamp())
    with open_kv("sqlite:///app.db") as kv:
        Store(PREFERENCES, kv)
    open_kv("memory:").close()


class Client:
    """A client with other parameter names and results."""

    def get(self, name: str) -> bytes | None:
        raise NotImplementedError

    def set(self, name: str, data: bytes, expire: int | None = None) -> bool:
        raise NotImplementedError

    def delete(self, *names: str) -> int:
        raise NotImplementedError


Store(PREFERENCES, Client())

# --------------------------------------------------------------------------------------- async


async def an_async_store(kv: AsyncKV) -> None:
    """Every method of an async store."""
    prefs = AsyncStore(PREFERENCES, kv)
    assert_type(prefs, AsyncStore[Preferences, str])
    assert_type(await prefs.get("ada"), Preferences | None)
    assert_type(await prefs.get("ada", Preferences()), Preferences)
    assert_type(await prefs.get("ada", 5), Preferences | int)
    assert_type(await prefs.require("ada"), Preferences)
    assert_type(await prefs.exists("ada"), bool)
    assert_type(await prefs.pop("ada"), Preferences | None)
    assert_type(await prefs.pop("ada", Preferences()), Preferences)
    assert_type(await prefs.add("ada", Preferences()), bool)
    assert_type(await prefs.update("ada", lambda old: old), Preferences)
    assert_type(await prefs.get_many(["ada"]), dict[str, Preferences])
    assert_type(prefs.keys(), AsyncIterator[str])
    assert_type(prefs.keys(under=("ada",)), AsyncIterator[str])
    assert_type(prefs.items(), AsyncIterator[tuple[str, Preferences]])
    assert_type([key async for key in prefs], list[str])
    assert_type(await prefs.count(), int)
    await prefs.set("ada", Preferences())
    await prefs.set_many({"ada": Preferences()})
    await prefs.delete("ada")
    await prefs.delete_many(["ada"])
    history = AsyncStore(HISTORY, kv)
    assert_type(await history.get(Chat("ada", 7), []), list[Message])


async def an_async_value(kv: AsyncKV) -> None:
    """Every method of an async single value."""
    settings = AsyncValue(SETTINGS, kv)
    assert_type(settings, AsyncValue[Preferences])
    assert_type(await settings.get(), Preferences | None)
    assert_type(await settings.get(Preferences()), Preferences)
    assert_type(await settings.require(), Preferences)
    assert_type(await settings.update(lambda old: old), Preferences)
    await settings.set(Preferences())
    await settings.delete()


async def async_handles() -> None:
    """What an async store opens."""
    AsyncStore(PREFERENCES, AsyncMemoryKV())
    AsyncStore(PREFERENCES, open_async_kv("memory:"))
    AsyncStore(PREFERENCES, dict[str, bytes]())
    async with AsyncSQLiteKV("app.db") as kv:
        AsyncStore(PREFERENCES, kv)
    async with open_async_kv("sqlite:///app.db") as kv:
        AsyncStore(PREFERENCES, kv)
    await open_async_kv("memory:").aclose()


class Account(msgspec.Struct):
    name: str
    token: Secret[str]
    codes: list[Secret[int]]
    optional: Secret[bytes] | None = None


class AccountModel(pydantic.BaseModel):
    token: Secret[str]


def secrets(kv: KV, ring: KeyRing) -> None:
    """What is in a Secret is inferred where it is made, stored and revealed."""
    assert_type(Secret("x"), Secret[str])
    assert_type(Secret[str]("x"), Secret[str])
    assert_type(Secret("x").reveal(), str)
    assert_type(Secret({"a": [1]}).reveal(), dict[str, list[int]])
    wider: list[Secret[str | None]] = [Secret("x")]
    assert_type(wider[0].reveal(), str | None)
    account = Store(Keyspace("a", Account, cipher=ring), kv)["ada"]
    assert_type(account.token.reveal(), str)
    assert_type([code.reveal() for code in account.codes], list[int])
    Account("ada", Secret("x"), [Secret(5)], Secret(b"x"))
    assert_type(AccountModel(token=Secret("x")).token, Secret[str])
    assert_type(Store(Keyspace("a", Secret[Account], cipher=ring), kv)["a"], Secret[Account])


def files(kv: KV) -> None:
    """Keys have the declared type; what is read is bytes, and an opened file is a binary file."""
    uploads = Files(Keyspace("uploads", bytes, key=tuple[str, int]), kv)
    assert_type(uploads, Files[tuple[str, int]])
    assert_type(uploads.put(("ada", 1), [b"x", bytearray(b"y")]), FileInfo)
    assert_type(uploads.put(("ada", 1), open("file", "rb"), content_type="a/b"), FileInfo)  # noqa: PTH123, SIM115 - never run
    assert_type(uploads.get(("ada", 1)), bytes | None)
    assert_type(uploads.info(("ada", 1)), FileInfo | None)
    assert_type(uploads.keys(), Iterator[tuple[str, int]])
    with uploads.open(("ada", 1)) as file:
        assert_type(file.read(), bytes)
        assert_type(file.info.sha256, str)
    assert_type(Files(Keyspace("logo", bytes, key=None), kv).get(None), bytes | None)


async def async_files(kv: AsyncKV) -> None:
    """The twin's, awaited."""
    uploads = AsyncFiles(Keyspace("uploads", bytes), kv)
    assert_type(await uploads.get("a"), bytes | None)
    async with await uploads.open("a") as file:
        assert_type(await file.read(), bytes)
        assert_type([piece async for piece in file], list[bytes])
    assert_type([key async for key in uploads.keys()], list[str])  # noqa: SIM118 - no dict


CACHED = Keyspace("preferences", Preferences, ttl=60)


def cached(kv: KV) -> None:
    """What a loader returns is what is returned; functions and methods keep their parameters."""
    cache = Cache(CACHED, kv)
    assert_type(cache.get_or_load("ada", Preferences), Preferences)
    assert_type(cache.get_or_load("ada", lambda: None), Preferences | None)
    assert_type(cache.stats, CacheStats)

    def key_of(user: str, *, strict: bool = False) -> str:
        return f"{user}{strict}"

    @cache.memoize(key=key_of)
    def load(user: str, *, strict: bool = False) -> Preferences:
        return Preferences("dark" if strict else "light")

    @cache.memoize()
    def find(user: str) -> Preferences | None:
        return Preferences() if user else None

    assert_type(load("ada", strict=True), Preferences)
    assert_type(find("ada"), Preferences | None)

    def place(_: Service, user: str) -> str:
        return user

    class Service:
        @cache.memoize(key=place)
        def load(self, user: str) -> Preferences:
            return Preferences()

    assert_type(Service().load("ada"), Preferences)


async def cached_async(kv: AsyncKV) -> None:
    """The twin's, awaited."""
    cache = AsyncCache(CACHED, kv)

    async def load() -> Preferences:
        return Preferences()

    async def find() -> Preferences | None:
        return None

    assert_type(await cache.get_or_load("ada", load), Preferences)
    assert_type(await cache.get_or_load("ada", find), Preferences | None)

    @cache.memoize()
    async def by_user(user: str) -> Preferences:
        return Preferences() if user else await load()

    assert_type(await by_user("ada"), Preferences)
    assert_type(await by_user(user="ada"), Preferences)


def postgres(conn: psycopg.Connection[tuple[Any, ...]], pool: ConnectionPool) -> None:
    """Over a connection of whatever rows, a pool or a URL, without a cast."""
    for kv in (PostgresKV(conn), PostgresKV(pool), PostgresKV.from_url("postgresql://host/db")):
        assert_type(Store(CACHED, kv).get("ada"), Preferences | None)
    raw: KV = PostgresKV(pool, table="stored", schema="app")
    assert_type(raw.get("key"), bytes | None)


async def postgres_async(
    conn: psycopg.AsyncConnection[dict[str, Any]], pool: AsyncConnectionPool
) -> None:
    """The twin as well."""
    for kv in (AsyncPostgresKV(conn), AsyncPostgresKV(pool)):
        assert_type(await AsyncStore(CACHED, kv).get("ada"), Preferences | None)
    raw: AsyncKV = AsyncPostgresKV(pool)
    assert_type(await raw.get("key"), bytes | None)


def values_are_never_any(kv: KV) -> None:
    """Inference does not fall back to Any anywhere on the way."""
    value = Store(Keyspace("a", list[Message]), kv).get("x", [])
    first: Any = value[0].text
    assert_type(value[0].text, str)
    del first


async def nats_buckets(bucket: KeyValue) -> None:
    """A bucket of nats-py is a KV's without a cast."""
    for kv in (NatsKV(bucket), NatsKV.from_url("nats://host/app")):
        assert_type(AsyncStore(PREFERENCES, kv), AsyncStore[Preferences, str])
    raw: AsyncKV = NatsKV(bucket)
    assert_type(await raw.get("key"), bytes | None)


async def objects(
    aws: S3Store, gcs: GCSStore, azure: AzureStore, files: LocalStore, memory: MemoryStore
) -> None:
    """Every store of obstore is a KV's of both kinds, without a cast."""
    for store in (aws, gcs, azure, files, memory):
        assert_type(Store(PREFERENCES, ObjectKV(store)).get("ada"), Preferences | None)
        akv = AsyncObjectKV(store, conditional=True)
        assert_type(await AsyncStore(PREFERENCES, akv).get("ada"), Preferences | None)
        check_atomic(store)
    raw: KV = ObjectKV.from_url("s3://bucket")
    assert_type(raw.get("key"), bytes | None)


async def clients(
    one: redis.Redis,
    cluster: redis.RedisCluster,
    aone: redis.asyncio.Redis,
    acluster: redis.asyncio.RedisCluster,
) -> None:
    """Every client of redis-py is a KV's without a cast."""
    for client in (one, cluster):
        assert_type(Store(PREFERENCES, RedisKV(client)), Store[Preferences, str])
    for aclient in (aone, acluster):
        assert_type(AsyncStore(PREFERENCES, AsyncRedisKV(aclient)), AsyncStore[Preferences, str])
    with RedisKV.from_url("redis://localhost") as kv:
        assert_type(Store(PREFERENCES, kv).get("ada"), Preferences | None)
    async with AsyncRedisKV.from_url("redis://localhost") as akv:
        assert_type(await AsyncStore(PREFERENCES, akv).get("ada"), Preferences | None)
