"""PostgresKV beside psycopg's own calls, over a connection and over a pool.

One server, which does not wait for its disk, and a table for each side, made alike. The reference
is ``conn.execute`` on a connection with autocommit, its parameters and results in binary, and
prepared by psycopg after some calls, as ours are; over a pool in ``with pool.connection()``. It
reads and writes the same columns in the same statements, and thinks of no lost connection, no
missing table and no transaction of the user. psycopg makes a cursor per call then; kvcodec keeps
one per statement.
"""

# ruff: noqa: S608 - of constants of this file

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from kvcodec import AsyncPostgresKV, PostgresKV, Store
from tests.benchmarks.data import KEYS_IN_USE, PREFERENCES, Preferences, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.backends.redis import CALLS, ENCODED, ITEMS, KEYS, STRUCTS, VALUE, again
from tests.benchmarks.rows.peers import runner_of
from tests.benchmarks.rows.stores.plain import CHECKED
from tests.benchmarks.timing import Race, awaited_one, awaited_two, each_one, each_two

BARE = "psycopg's own call"
POOLED = "psycopg's own call in pool.connection()"

_LIVE = "(exp is null or exp > statement_timestamp())"
_GET = f"select v from bare where k = %b and {_LIVE}".encode()
_GET_MANY = f"select k, v from bare where k = any(%b) and {_LIVE}".encode()
_UPDATE = "on conflict (k) do update set rev = excluded.rev, exp = excluded.exp, v = excluded.v"
_SET = f"""insert into bare (k, rev, exp, v) values (%b, gen_random_uuid(), null, %b)
    {_UPDATE}""".encode()
_SET_MANY = f"""insert into bare (k, rev, exp, v) select k, gen_random_uuid(), null, v
    from unnest(%b::bytea[], %b::bytea[]) as new(k, v) order by k {_UPDATE}""".encode()


class Hand:
    """The lines that one would write. ``borrow`` gives the connection of a call."""

    def __init__(self, borrow: Callable[[], AbstractContextManager[Any]]) -> None:
        self._borrow = borrow

    def get(self, key: str) -> bytes | None:
        """Of one key."""
        with self._borrow() as conn:
            found = conn.execute(_GET, (key.encode(),), binary=True).fetchone()
        return None if found is None else found[0]

    def set(self, key: str, value: bytes) -> None:
        """Of one key."""
        with self._borrow() as conn:
            conn.execute(_SET, (key.encode(), value), binary=True)

    def get_many(self, keys: list[str]) -> dict[str, bytes]:
        """In one statement."""
        with self._borrow() as conn:
            names = [key.encode() for key in keys]
            rows = conn.execute(_GET_MANY, (names,), binary=True).fetchall()
        return {name.decode(): value for name, value in rows}

    def set_many(self, items: dict[str, bytes]) -> None:
        """In one statement."""
        with self._borrow() as conn:
            names = [key.encode() for key in items]
            conn.execute(_SET_MANY, (names, [*items.values()]), binary=True)


def made(setting: Setting, kv: PostgresKV, hand: Hand) -> None:
    """Make both tables anew, with all keys in both, so that no row pays for another's dead rows."""
    with psycopg.connect(setting.servers.postgres.url, autocommit=True) as conn:
        conn.execute("drop table if exists kv, bare")
        conn.execute(PostgresKV.ddl(table="bare").encode())
    items = dict.fromkeys(fresh_keys(KEYS_IN_USE), VALUE)
    kv.set_many(items)
    hand.set_many(items)
    assert kv.get_many(KEYS) == hand.get_many(KEYS) == ITEMS


def on_connections(setting: Setting) -> tuple[PostgresKV, Hand]:
    """Both sides on a connection of their own."""
    url = setting.servers.postgres.url
    ours, theirs = (
        setting.stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(2)
    )
    kv, hand = PostgresKV(ours), Hand(lambda: nullcontext(theirs))
    made(setting, kv, hand)
    return kv, hand


def on_pools(setting: Setting) -> tuple[PostgresKV, Hand]:
    """Both sides on a pool of their own, of connections that commit each statement."""
    url = setting.servers.postgres.url
    ours, theirs = (
        setting.stack.enter_context(ConnectionPool(url, kwargs={"autocommit": True}, min_size=1))
        for _ in range(2)
    )
    kv, hand = PostgresKV(ours), Hand(theirs.connection)
    made(setting, kv, hand)
    return kv, hand


# ------------------------------------------------------------------------------ connections


@row("PostgresKV get, 1 KiB, a connection", beside=BARE, target=at_most(1.05))
def postgres_get(setting: Setting) -> Race:
    """Outside of transactions, both."""
    kv, hand = on_connections(setting)
    return Race(each_one(kv.get, fresh_keys), each_one(hand.get, fresh_keys), CALLS)


@row("PostgresKV set, 1 KiB, a connection", beside=BARE, target=at_most(1.05))
def postgres_set(setting: Setting) -> Race:
    """Committed when it returns, both."""
    kv, hand = on_connections(setting)
    pairs = pairs_of(VALUE)
    return Race(each_two(kv.set, pairs), each_two(hand.set, pairs), CALLS)


@row("PostgresKV get_many of 100, 1 KiB, a connection", beside=BARE, target=at_most(1.05))
def postgres_get_many(setting: Setting) -> Race:
    """One statement, both."""
    kv, hand = on_connections(setting)
    return Race(again(kv.get_many, KEYS), again(hand.get_many, KEYS), calls=2)


@row("PostgresKV set_many of 100, 1 KiB, a connection", beside=BARE, target=at_most(1.05))
def postgres_set_many(setting: Setting) -> Race:
    """One statement, both."""
    kv, hand = on_connections(setting)
    return Race(again(kv.set_many, ITEMS), again(hand.set_many, ITEMS), calls=2)


@row("PostgresKV set_many of 100 with a ttl", beside="set_many without one", target=at_most(1.5))
def postgres_set_many_ttl(setting: Setting) -> Race:
    """What is purged meanwhile is counted, too."""
    kv, _ = on_connections(setting)
    other = PostgresKV(
        setting.stack.enter_context(psycopg.connect(setting.servers.postgres.url, autocommit=True)),
        table="bare",
    )

    def with_ttl(items: dict[str, bytes]) -> None:
        kv.set_many_with_ttl(items, 3600.0)

    return Race(again(with_ttl, ITEMS), again(other.set_many, ITEMS), calls=2)


# ------------------------------------------------------------------------------------- pools


@row("PostgresKV get, 1 KiB, a pool", beside=POOLED, target=at_most(1.05))
def postgres_pool_get(setting: Setting) -> Race:
    """A connection is borrowed for each call, both."""
    kv, hand = on_pools(setting)
    return Race(each_one(kv.get, fresh_keys), each_one(hand.get, fresh_keys), CALLS)


@row("PostgresKV set, 1 KiB, a pool", beside=POOLED, target=at_most(1.05))
def postgres_pool_set(setting: Setting) -> Race:
    """A connection is borrowed for each call, both."""
    kv, hand = on_pools(setting)
    pairs = pairs_of(VALUE)
    return Race(each_two(kv.set, pairs), each_two(hand.set, pairs), CALLS)


@row("PostgresKV get_many of 100, 1 KiB, a pool", beside=POOLED, target=at_most(1.05))
def postgres_pool_get_many(setting: Setting) -> Race:
    """A connection is borrowed for each call, both."""
    kv, hand = on_pools(setting)
    return Race(again(kv.get_many, KEYS), again(hand.get_many, KEYS), calls=2)


@row("PostgresKV set_many of 100, 1 KiB, a pool", beside=POOLED, target=at_most(1.05))
def postgres_pool_set_many(setting: Setting) -> Race:
    """A connection is borrowed for each call, both."""
    kv, hand = on_pools(setting)
    return Race(again(kv.set_many, ITEMS), again(hand.set_many, ITEMS), calls=2)


class AsyncHand:
    """The lines of ``Hand``, awaited, over a pool."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def get(self, key: str) -> bytes | None:
        """Of one key."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(_GET, (key.encode(),), binary=True)
            found = await cursor.fetchone()
        return None if found is None else found[0]

    async def set(self, key: str, value: bytes) -> None:
        """Of one key."""
        async with self._pool.connection() as conn:
            await conn.execute(_SET, (key.encode(), value), binary=True)


def on_async_pools(setting: Setting) -> tuple[Any, AsyncPostgresKV, AsyncHand]:
    """A loop, and both sides on a pool of their own."""
    on_connections(setting)
    runner = runner_of(setting)

    async def opened() -> AsyncConnectionPool[Any]:
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            setting.servers.postgres.url, kwargs={"autocommit": True}, min_size=1, open=False
        )
        await pool.open(wait=True)
        setting.stack.callback(lambda: runner.run(pool.close()))
        return pool

    ours, theirs = (runner.run(opened()) for _ in range(2))
    return runner, AsyncPostgresKV(ours), AsyncHand(theirs)


@row("AsyncPostgresKV get, 1 KiB, a pool", beside=POOLED, target=at_most(1.05))
def async_postgres_get(setting: Setting) -> Race:
    """Both awaited."""
    runner, kv, hand = on_async_pools(setting)
    return Race(
        awaited_one(runner, kv.get, fresh_keys), awaited_one(runner, hand.get, fresh_keys), CALLS
    )


@row("AsyncPostgresKV set, 1 KiB, a pool", beside=POOLED, target=at_most(1.05))
def async_postgres_set(setting: Setting) -> Race:
    """Both awaited."""
    runner, kv, hand = on_async_pools(setting)
    pairs = pairs_of(VALUE)
    return Race(awaited_two(runner, kv.set, pairs), awaited_two(runner, hand.set, pairs), CALLS)


# ------------------------------------------------------------------------------------ stores


@row("Store get on PostgresKV, a pool", beside=POOLED, target=at_most(1.15))
def postgres_store_get(setting: Setting) -> Race:
    """The bare client gets the bytes and no more."""
    kv, hand = on_pools(setting)
    store = Store(CHECKED, kv)
    for key in fresh_keys(KEYS_IN_USE):
        store.set(key, PREFERENCES)
        hand.set(key, ENCODED)
    return Race(each_one(store.get, fresh_keys), each_one(hand.get, fresh_keys), CALLS)


@row("Store set on PostgresKV, a pool", beside=POOLED, target=at_most(1.15))
def postgres_store_set(setting: Setting) -> Race:
    """The bare client has the bytes."""
    kv, hand = on_pools(setting)
    ours, theirs = pairs_of(PREFERENCES), pairs_of(ENCODED)
    return Race(each_two(Store(CHECKED, kv).set, ours), each_two(hand.set, theirs), CALLS)


@row(
    "Store get_many of 100 on PostgresKV, a pool",
    beside=f"{POOLED} + msgspec lines",
    target=at_most(1.15),
)
def postgres_store_get_many(setting: Setting) -> Race:
    """Both decode."""
    kv, hand = on_pools(setting)
    store = Store(CHECKED, kv)
    store.set_many(STRUCTS)
    hand.set_many({f"preferences/{key}": ENCODED for key in KEYS})
    decode = msgspec.json.Decoder(Preferences).decode

    def get_many(keys: list[str]) -> dict[str, Preferences]:
        found = hand.get_many([f"preferences/{key}" for key in keys])
        return {name.removeprefix("preferences/"): decode(data) for name, data in found.items()}

    assert get_many(KEYS) == store.get_many(KEYS)
    return Race(again(store.get_many, KEYS), again(get_many, KEYS), calls=2)


@row(
    "Store set_many of 100 on PostgresKV, a pool",
    beside=f"{POOLED} + msgspec lines",
    target=at_most(1.15),
)
def postgres_store_set_many(setting: Setting) -> Race:
    """Both encode; ours validates."""
    kv, hand = on_pools(setting)
    store, encode = Store(CHECKED, kv), msgspec.json.Encoder().encode

    def set_many(items: dict[str, Preferences]) -> None:
        hand.set_many({f"preferences/{key}": encode(value) for key, value in items.items()})

    return Race(again(store.set_many, STRUCTS), again(set_many, STRUCTS), calls=2)
