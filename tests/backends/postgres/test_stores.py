"""Everything that kvcodec opens, on PostgreSQL: from four processes, by handles."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from kvcodec import (
    AsyncCache,
    AsyncFiles,
    AsyncLog,
    AsyncPostgresKV,
    AsyncStore,
    ConfigError,
    Keyspace,
    Log,
    PostgresKV,
    Store,
    Unavailable,
    open_async_kv,
    open_kv,
)
from kvcodec.backends.adapt import as_async_kv, as_kv
from tests.backends.postgres.worker import COUNTS, NOTES, ROUNDS
from tests.servers.postgres import Postgres


@pytest.fixture
def pool(server: Postgres, table: str) -> Iterator[ConnectionPool[Any]]:
    """A pool of the user, as it comes."""
    with ConnectionPool(server.url, min_size=1, max_size=8, open=True) as opened:
        PostgresKV(opened, table=table).create_table()
        yield opened


def test_four_processes(server: Postgres, table: str) -> None:
    """From the first use of a table that is not there: no count, claim or message is lost."""
    worker = str(Path(__file__).with_name("worker.py"))
    command = [sys.executable, worker, server.url, table]
    running = [
        subprocess.Popen([*command, f"p{number}"], stdout=subprocess.PIPE) for number in range(4)
    ]
    won = [int(each.communicate()[0]) for each in running]
    assert [each.returncode for each in running] == [0] * 4
    assert sum(won) == ROUNDS
    with PostgresKV.from_url(server.url, table=table) as kv:
        assert Store(COUNTS, kv).get("all") == 4 * ROUNDS
        said = list(Log(NOTES, kv).iterate("all"))
    assert sorted(said) == sorted(f"p{p}-{n}" for p in range(4) for n in range(ROUNDS))
    for process in range(4):
        own = [note for note in said if note.startswith(f"p{process}-")]
        assert own == [f"p{process}-{number}" for number in range(ROUNDS)]


def test_the_async_twins(server: Postgres, table: str) -> None:
    """Store, Log, Files and Cache, many at a time, on what the URL opens."""

    async def work() -> None:
        kv: Any = open_async_kv(f"{server.url}&table={table}")
        assert isinstance(kv, AsyncPostgresKV)
        async with kv:
            store = AsyncStore(COUNTS, kv)
            adding = [store.update("n", lambda n: n + 1, default=0) for _ in range(20)]
            await asyncio.gather(*adding)
            assert await store.get("n") == 20
            log = AsyncLog(NOTES, kv)
            await asyncio.gather(*(log.append("all", str(number)) for number in range(20)))
            assert sorted([note async for note in log.iterate("all")], key=int) == [
                str(number) for number in range(20)
            ]
            files = AsyncFiles(Keyspace("files", bytes), kv)
            await files.put("f", b"x" * 1_000_000)
            assert await files.get("f") == b"x" * 1_000_000
            cache = AsyncCache(Keyspace("cache", int, ttl=60), kv)

            async def load() -> int:
                return 5

            found = await asyncio.gather(*(cache.get_or_load("n", load) for _ in range(10)))
            assert found == [5] * 10

    asyncio.run(work())


# ------------------------------------------------------------------------------------- handles


def test_psycopgs_own_objects_are_handles(server: Postgres, pool: ConnectionPool[Any]) -> None:
    """A bare pool or connection does what the class does; the wrong twin is named."""
    with psycopg.connect(server.url) as conn:
        for handle in (pool, conn):
            assert isinstance(as_kv(handle), PostgresKV)
            with pytest.raises(ConfigError, match="this KV is not async: use Store"):
                as_async_kv(handle)
        bare: Any = conn
        Store(COUNTS, bare).set("n", 1)
        assert Store(COUNTS, PostgresKV(conn)).get("n") == 1
        conn.rollback()

    async def work() -> None:
        async with (
            AsyncConnectionPool(server.url, min_size=0, max_size=1, open=False) as apool,
            await psycopg.AsyncConnection.connect(server.url) as conn,
        ):
            for handle in (apool, conn):
                assert isinstance(as_async_kv(handle), AsyncPostgresKV)
                with pytest.raises(ConfigError, match="this KV is async: use AsyncStore"):
                    as_kv(handle)

    asyncio.run(work())


def test_handles_of_one_table_have_one_lock(server: Postgres, pool: ConnectionPool[Any]) -> None:
    """Pools, connections and URLs of both kinds lead to one place; another table is another."""
    with psycopg.connect(server.url) as conn, PostgresKV.from_url(server.url) as kv:
        places = {each.backing("key") for each in (PostgresKV(pool), PostgresKV(conn), kv)}
        places.add(AsyncPostgresKV.from_url(server.url).backing("key"))
        assert len(places) == 1
        assert PostgresKV(pool, table="other").backing("key") not in places
        assert PostgresKV(pool, schema="other").backing("key") not in places


def test_a_url_with_options(server: Postgres, table: str) -> None:
    """Its table and schema are kvcodec's, the rest is libpq's."""
    kv: Any = open_kv(f"{server.url}&table={table}&schema=public&application_name=a%20b%26c")
    assert isinstance(kv, PostgresKV)
    with kv, psycopg.connect(server.url, autocommit=True) as conn:
        kv.set("key", b"value")
        names = conn.execute("select application_name from pg_stat_activity").fetchall()
        assert ("a b&c",) in names
        found = conn.execute(f"table public.{table}".encode()).fetchall()
        assert [row[0] for row in found] == [b"key"]


@pytest.mark.parametrize("open_it", [open_kv, open_async_kv])
@pytest.mark.parametrize(
    "url", ["postgresql:x", "postgresql://h/d?nosuch=hunter2", "postgres://u:hunter2@h:p/d?table=1"]
)
def test_a_url_that_is_none(open_it: Callable[[str], object], url: str) -> None:
    """ConfigError, which repeats nothing of it."""
    with pytest.raises(ConfigError) as caught:
        open_it(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_table_by_hand(server: Postgres, table: str) -> None:
    """What ``ddl`` says is what ``create_table`` makes, for a role that may not make it."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute(f"create role {table}_app login".encode())
        with PostgresKV.from_url(f"{server.url}&user={table}_app", table=table) as kv:
            with pytest.raises(ConfigError, match="permission denied"):
                kv.set("key", b"value")
            conn.execute(PostgresKV.ddl(table=table).encode())
            conn.execute(f"grant select, insert, update, delete on {table} to {table}_app".encode())
            kv.create_table()
            kv.set_with_ttl("key", b"value", 60)
            assert kv.purge() == 0
            assert kv.get("key") == b"value"
        conn.execute(f"drop owned by {table}_app; drop role {table}_app".encode())


@pytest.mark.parametrize("name", ["", "1kv", "k v", 'k"v', "k%v", "kv\n", "x" * 60])
def test_a_name_that_is_none(name: str) -> None:
    """ConfigError when it is opened, before anything is sent."""
    with pytest.raises(ConfigError, match="table= is a name"):
        PostgresKV.ddl(table=name)
    with pytest.raises(ConfigError, match="schema= is a name"):
        PostgresKV.ddl(schema=name)


def test_a_closed_url(server: Postgres, table: str) -> None:
    """Unavailable, and closing twice is no error."""
    kv = PostgresKV.from_url(server.url, table=table)
    kv.close()
    kv.close()
    with pytest.raises(Unavailable, match="is closed"):
        kv.get("key")


def test_another_event_loop(server: Postgres, table: str) -> None:
    """What ``from_url`` opened belongs to the loop of its first use: another one is told so."""
    kv = AsyncPostgresKV.from_url(server.url, table=table)

    async def use_and_close() -> None:
        await kv.set("key", b"value")
        with pytest.raises(ConfigError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(kv.get("key")))
        await kv.aclose()

    asyncio.run(use_and_close())
