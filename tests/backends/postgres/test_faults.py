"""Servers and sessions that end: what was acknowledged stays, and every error is true."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from kvcodec import BackendError, Keyspace, Log, OutcomeUnknown, Store, Unavailable
from kvcodec.backends.postgres import PostgresKV
from kvcodec.backends.postgres_async import AsyncPostgresKV
from tests.leaks import CANARY, leaks
from tests.servers.postgres import Postgres, postgres

SECRET = CANARY.encode()

WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock'"
TERMINATE = """select pg_terminate_backend(pid, 10000) from pg_stat_activity
    where pid <> pg_backend_pid() and backend_type = 'client backend'"""


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A server of the test's own, which it may kill."""
    with postgres() as started:
        yield started


class _Writers:
    """Four threads that claim keys and append to one log, until they are told to stop."""

    def __init__(self, kv: PostgresKV) -> None:
        self._kv = kv
        self._log = Log(Keyspace("log", str), kv)
        self._stop = threading.Event()
        self._moved = threading.Condition()
        self.said: dict[str, type[BackendError] | None] = {}
        """Of every claim, each on a key of its own: what was raised, or None."""
        self.appended: list[str] = []

    def write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{writer}-{number}"
            self.said[name] = self._claim(name)
            while not self._append(name):
                pass
            with self._moved:
                self.appended.append(name)
                self._moved.notify_all()

    def _claim(self, name: str) -> type[BackendError] | None:
        try:
            assert self._kv.set_if_absent(f"claims/{name}", name.encode(), None)
        except BackendError as error:
            return type(error)
        return None

    def _append(self, name: str) -> bool:
        try:
            self._log.append("all", name, id=name)
        except BackendError:
            return False
        return True

    def wait_for(self, more: int) -> None:
        """Return once so many appends more are acknowledged."""
        with self._moved:
            enough = len(self.appended) + more
            assert self._moved.wait_for(lambda: len(self.appended) >= enough, timeout=60)

    def stop(self) -> None:
        self._stop.set()

    def check(self) -> None:
        """Expect no acknowledged write lost, none that was refused there, none there twice."""
        there = set(self._kv.scan_keys("claims/"))
        for name, error in self.said.items():
            if error is None:
                assert f"claims/{name}" in there, "an acknowledged claim is there"
            elif error is not OutcomeUnknown:
                assert f"claims/{name}" not in there, f"a claim that raised {error} is not there"
        listed = list(self._log.iterate("all"))
        assert sorted(listed) == sorted(self.appended), "no append is lost, none there twice"


def test_a_server_that_ends_under_four_writers(mortal: Postgres) -> None:
    """Killed as by a power failure, stopped as by an administrator; and started again."""
    with PostgresKV.from_url(mortal.url, timeout=2) as kv, ThreadPoolExecutor(4) as pool:
        kv.create_table()
        writers = _Writers(kv)
        running = [pool.submit(writers.write, number) for number in range(4)]
        try:
            for end in (mortal.kill, mortal.stop):
                writers.wait_for(100)
                end()
                mortal.start()
                writers.wait_for(100)
        finally:
            writers.stop()
        for each in running:
            each.result()
        writers.check()


def test_connections_that_ended_while_nobody_used_them(mortal: Postgres) -> None:
    """A restart between two operations is nobody's error: the pool makes new connections."""
    options: dict[str, Any] = {"min_size": 3, "max_size": 3, "open": True, "timeout": 20}
    with ConnectionPool(mortal.url, **options) as pool:
        pool.wait()
        kv = PostgresKV(pool)
        kv.set("key", b"1")
        with psycopg.connect(mortal.url, autocommit=True) as conn:
            conn.execute(TERMINATE)
        kv.set("key", b"2")
        mortal.stop()
        mortal.start()
        kv.set("key", b"3")
        assert kv.get("key") == b"3"


def test_async_connections_that_ended_while_nobody_used_them(mortal: Postgres) -> None:
    """The twin as well."""

    async def work() -> bytes | None:
        options: dict[str, Any] = {"min_size": 3, "max_size": 3, "open": False, "timeout": 20}
        async with AsyncConnectionPool(mortal.url, **options) as pool:
            await pool.wait()
            kv = AsyncPostgresKV(pool)
            await kv.set("key", b"1")
            mortal.stop()
            mortal.start()
            await kv.set("key", b"2")
            return await kv.get("key")

    assert asyncio.run(work()) == b"2"


def test_no_server(mortal: Postgres) -> None:
    """Unavailable, after the time that was asked for, by a pool and by a connection."""
    with PostgresKV.from_url(mortal.url, timeout=0.2) as kv, psycopg.connect(mortal.url) as conn:
        kv.set("key", b"value")
        mortal.stop()
        for each in (kv, PostgresKV(conn)):
            with pytest.raises(Unavailable):
                each.get("key")
            with pytest.raises(Unavailable) as caught:
                each.set("key", SECRET)
            assert caught.value.__context__ is None
            assert leaks(caught.value) == []


@pytest.fixture
def held(mortal: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that has written ``key``: other writers of it wait."""
    conn = psycopg.connect(mortal.url)
    PostgresKV(conn).create_table()
    conn.commit()
    PostgresKV(conn).set("key", b"held")
    yield conn
    conn.close()


def _waiting(server: Postgres) -> int:
    with psycopg.connect(server.url, autocommit=True) as conn:
        while (found := conn.execute(WAITING).fetchone()) is None:
            pass
    return int(found[0])


def _error_of(doing: Future[None]) -> BackendError:
    error = doing.exception(timeout=30)
    assert isinstance(error, BackendError)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert leaks(error) == []
    return error


@pytest.mark.parametrize("how", ["terminated", "cancelled"])
def test_a_write_that_the_server_ended(
    mortal: Postgres, held: psycopg.Connection[Any], how: str
) -> None:
    """The server says so, hence nothing was applied: Unavailable."""
    ends = {"terminated": "pg_terminate_backend", "cancelled": "pg_cancel_backend"}[how]
    with PostgresKV.from_url(mortal.url) as kv, ThreadPoolExecutor(1) as pool:
        doing = pool.submit(kv.set, "key", SECRET)
        held.execute(f"select {ends}({_waiting(mortal)})".encode())
        assert type(_error_of(doing)) is Unavailable
        held.commit()
        assert kv.get("key") == b"held"


def test_a_connection_that_broke_during_a_write(
    mortal: Postgres, held: psycopg.Connection[Any]
) -> None:
    """Nobody says what became of it: OutcomeUnknown, and Unavailable for one that only reads."""
    with PostgresKV.from_url(mortal.url) as kv, ThreadPoolExecutor(2) as pool:
        doing = pool.submit(kv.set, "key", SECRET)
        os.kill(_waiting(mortal), signal.SIGKILL)
        assert type(_error_of(doing)) is OutcomeUnknown


def test_a_connection_that_broke_in_a_transaction(
    mortal: Postgres, held: psycopg.Connection[Any]
) -> None:
    """The transaction is gone with it, so nothing was applied: Unavailable."""
    with psycopg.connect(mortal.url, autocommit=True) as conn, ThreadPoolExecutor(1) as pool:
        kv = PostgresKV(conn)

        def work() -> None:
            with conn.transaction():
                kv.set("key", SECRET)

        doing = pool.submit(work)
        os.kill(_waiting(mortal), signal.SIGKILL)
        assert type(_error_of(doing)) is Unavailable


def test_an_async_write_that_is_cancelled(mortal: Postgres, held: psycopg.Connection[Any]) -> None:
    """It ends at the server too, and the connection is good for the next one."""

    async def work() -> bytes | None:
        kv = AsyncPostgresKV.from_url(mortal.url, connections=1)
        doing = asyncio.ensure_future(kv.set("key", b"late"))
        await asyncio.to_thread(_waiting, mortal)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        held.commit()
        value = await kv.get("key")
        await kv.aclose()
        return value

    assert asyncio.run(work()) == b"held"


def test_set_many_is_all_or_nothing(server: Postgres, table: str) -> None:
    """Also of more values than fit one statement; and what is refused is not told."""
    with PostgresKV.from_url(server.url, table=table) as kv:
        kv.set("n00000", b"before")
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute(f"alter table {table} add check (v <> '{CANARY}'::bytea)".encode())
        items = {f"n{number:05}": b"new" for number in range(12_000)}
        with pytest.raises(Unavailable) as caught:
            kv.set_many({**items, "n11999": SECRET})
        assert leaks(caught.value) == []
        assert caught.value.__context__ is None
        assert {key: kv.get(key) for key in kv.scan_keys("")} == {"n00000": b"before"}
        kv.set_many(items)
        assert kv.get_many(list(items)) == items
        kv.delete_many(list(items))
        assert list(kv.scan_keys("")) == []


def test_many_that_cross_each_other(server: Postgres, table: str) -> None:
    """Writers of the same keys in other orders wait, and none is the deadlock's victim."""
    with PostgresKV.from_url(server.url, table=table) as kv, ThreadPoolExecutor(4) as pool:
        names = [f"n{number}" for number in range(60)]
        orders = [names, names[::-1], names[::2] + names[1::2], names[1::2] + names[::2]]

        def work(order: list[str]) -> None:
            for number in range(30):
                if number % 3 == 2:
                    kv.delete_many(order)
                else:
                    kv.set_many(dict.fromkeys(order, b"%d" % number))

        list(pool.map(work, orders))
        Store(Keyspace("n", int), kv).set("done", 1)
