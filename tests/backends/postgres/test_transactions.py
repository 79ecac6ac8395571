"""A connection of the user: what is stored is part of the transaction that it is in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, Connection

from kvcodec import AsyncStore, ConfigError, Conflict, Keyspace, Log, Store, Unavailable
from kvcodec.backends.postgres import PostgresKV
from kvcodec.backends.postgres_async import AsyncPostgresKV
from tests.servers.postgres import Postgres

COUNTS = Keyspace("counts", int)
NOTES = Keyspace("notes", str)


class _Own(Exception):
    """What a user's code raises in its transaction."""


@pytest.fixture
def outside(server: Postgres, table: str) -> Iterator[PostgresKV]:
    """What everybody else sees; the table is there."""
    with PostgresKV.from_url(server.url, table=table) as kv:
        kv.create_table()
        yield kv


@pytest.fixture(params=[True, False], ids=["autocommit", "as it comes"])
def conn(
    request: pytest.FixtureRequest, server: Postgres, outside: PostgresKV
) -> Iterator[Connection[Any]]:
    """A connection of the user, closed before the table goes."""
    with psycopg.connect(server.url, autocommit=request.param) as opened:
        yield opened


def test_a_rollback_takes_the_values_with_it(
    conn: Connection[Any], outside: PostgresKV, table: str
) -> None:
    """Values, log and all; what was there before is there again."""
    Store(COUNTS, outside).set("kept", 1)
    kv = PostgresKV(conn, table=table)
    with suppress(_Own), conn.transaction():
        Store(COUNTS, kv).set("kept", 2)
        Store(COUNTS, kv).set_many({"new": 3, "newer": 4})
        Log(NOTES, kv).append("log", "hello")
        assert Store(COUNTS, kv).update("kept", lambda count: (count or 0) + 1) == 3
        assert Store(COUNTS, outside).get("kept") == 1
        raise _Own
    assert list(outside.scan_keys("")) == ["counts/kept"]
    assert Store(COUNTS, outside).get("kept") == 1


def test_a_commit_is_the_users(conn: Connection[Any], outside: PostgresKV, table: str) -> None:
    """Nothing is there for others before."""
    kv = PostgresKV(conn, table=table)
    with conn.transaction():
        kv.set("key", b"value")
        kv.delete("absent")
        assert kv.set_if_absent("claim", b"mine", None)
        assert outside.get_many(["key", "claim"]) == {}
    assert outside.get_many(["key", "claim"]) == {"key": b"value", "claim": b"mine"}


def test_without_autocommit_the_first_write_begins_the_transaction(
    server: Postgres, outside: PostgresKV, table: str
) -> None:
    """As with any statement of psycopg: it is the user's to commit or to roll back."""
    with psycopg.connect(server.url) as conn:
        kv = PostgresKV(conn, table=table)
        kv.set("taken back", b"value")
        conn.rollback()
        kv.set("kept", b"value")
        assert list(outside.scan_keys("")) == []
        conn.commit()
    assert list(outside.scan_keys("")) == ["kept"]


def test_an_error_spoils_nothing(conn: Connection[Any], outside: PostgresKV, table: str) -> None:
    """An operation that fails in a transaction takes back itself only."""
    kv, view = PostgresKV(conn, table=table), PostgresKV(conn, table=f"{table}_view")
    with conn.transaction():
        conn.execute(f"create view {table}_view as select 1 as k".encode())
    with conn.transaction():
        kv.set("before", b"1")
        for _ in range(8):  # more than it takes psycopg to prepare a statement
            with pytest.raises(ConfigError, match="is the table kvcodec's"):
                view.set("key", b"value")
        kv.set("after", b"2")
        conn.execute(f"drop view {table}_view".encode())
    assert outside.get_many(["before", "after"]) == {"before": b"1", "after": b"2"}


def test_a_first_operation_that_fails_leaves_no_transaction_behind(
    server: Postgres, table: str
) -> None:
    """Where psycopg began one by itself, for nothing but that operation."""
    with psycopg.connect(server.url) as conn:
        conn.execute("set statement_timeout = '1ms'")
        conn.commit()
        with psycopg.connect(server.url, autocommit=True) as other:
            PostgresKV(other, table=table).set("key", b"value")
            with other.transaction():
                PostgresKV(other, table=table).set("key", b"locked")
                with pytest.raises(Unavailable, match="timeout"):
                    PostgresKV(conn, table=table).set("key", b"late")
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_failed_transaction_is_said(
    conn: Connection[Any], outside: PostgresKV, table: str
) -> None:
    """The user's own statement failed: nothing can be done in it any more."""
    kv = PostgresKV(conn, table=table)
    with suppress(_Own), conn.transaction():
        with suppress(psycopg.Error):
            conn.execute("select 1/0")
        with pytest.raises(Unavailable, match="roll it back"):
            kv.get("key")
        raise _Own
    assert kv.get("key") is None


def test_a_transaction_that_was_overtaken(
    server: Postgres, outside: PostgresKV, table: str
) -> None:
    """In REPEATABLE READ a lost compare-and-set is no error, a write that cannot be made is one."""
    outside.set("key", b"0")
    with psycopg.connect(server.url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        kv = PostgresKV(conn, table=table)
        found = kv.get_versioned("key")
        assert found is not None
        outside.set("key", b"1")
        assert kv.set_if_version("key", b"2", found[1], None) is False
        assert kv.delete_if_version("key", found[1]) is False
        with pytest.raises(Conflict, match="try again"):
            kv.set("key", b"3")
        kv.set("other", b"4")
        conn.commit()
    assert outside.get_many(["key", "other"]) == {"key": b"1", "other": b"4"}


def test_a_claim_waits_for_the_one_before_it(
    server: Postgres, outside: PostgresKV, table: str
) -> None:
    """Until that one's transaction ends, and it is known who has won."""
    answers: list[bool] = []
    waiting = threading.Thread(
        target=lambda: answers.append(outside.set_if_absent("key", b"second", None))
    )
    with psycopg.connect(server.url) as conn:
        assert PostgresKV(conn, table=table).set_if_absent("key", b"first", None)
        waiting.start()
        _until_somebody_waits(server)
        conn.rollback()
    waiting.join()
    assert answers == [True]
    assert outside.get("key") == b"second"


def _until_somebody_waits(server: Postgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as conn:
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        while conn.execute(waits).fetchone() == (0,):
            pass


def test_one_connection_among_threads(server: Postgres, table: str) -> None:
    """Their operations take turns: no one's savepoint is another's."""
    with psycopg.connect(server.url) as conn:
        store = Store(COUNTS, PostgresKV(conn, table=table))
        twin = Store(COUNTS, PostgresKV(conn, table=table))

        def count(opened: Store[int, str]) -> None:
            for _ in range(20):
                opened.update("n", lambda n: n + 1, default=0)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, (store, twin) * 2))
        assert store.get("n") == 80


@pytest.mark.parametrize("autocommit", [True, False])
def test_async_in_a_transaction(
    *, autocommit: bool, server: Postgres, outside: PostgresKV, table: str
) -> None:
    """The twin takes part as well: gathered, cancelled, and rolled back."""

    async def work() -> None:
        async with await AsyncConnection.connect(server.url, autocommit=autocommit) as conn:
            store = AsyncStore(COUNTS, AsyncPostgresKV(conn, table=table))
            with suppress(_Own):
                async with conn.transaction():
                    await asyncio.gather(*(store.set(f"n{n}", n) for n in range(20)))
                    raise _Own
            async with conn.transaction():
                await store.set("kept", 1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await store.set("cancelled", 1)
                assert await store.get("kept") == 1

    asyncio.run(work())
    assert set(outside.scan_keys("")) <= {"counts/kept", "counts/cancelled"}
    assert Store(COUNTS, outside).get("kept") == 1


def test_a_pipeline_is_refused(conn: Connection[Any], outside: PostgresKV, table: str) -> None:
    """A claim that was stored would read as refused there: nothing is sent."""
    kv = PostgresKV(conn, table=table)
    with conn.pipeline():
        for ask in (
            lambda: kv.set_if_absent("claim", b"mine", None),
            lambda: kv.set("key", b"value"),
            lambda: kv.get("key"),
        ):
            with pytest.raises(ConfigError, match="pipeline"):
                ask()
    conn.commit()
    assert list(outside.scan_keys("")) == []
    assert kv.set_if_absent("claim", b"mine", None)
