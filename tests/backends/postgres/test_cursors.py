"""Cursors are kept for the next call, and hold on to nothing that is large or gone."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from kvcodec.backends.postgres import PostgresKV
from tests.servers.postgres import Postgres

LARGE = 1_000_000


@pytest.fixture
def conn(server: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the user, closed before the table goes."""
    with psycopg.connect(server.url, autocommit=True) as opened:
        yield opened


def cursors_of(conn: psycopg.Connection[Any]) -> list[psycopg.Cursor[Any]]:
    """Return the cursors of a connection that somebody still has."""
    everything: list[Any] = gc.get_objects()
    return [each for each in everything if type(each) is psycopg.Cursor and each.connection is conn]


def largest_in(cursor: psycopg.Cursor[Any]) -> int:
    """Return the size of the largest bytes that a cursor, its query or that one's lists hold."""
    level: list[Any] = [cursor]
    found = 0
    for _ in range(3):
        level = gc.get_referents(*level)
        found = max([found, *(len(each) for each in level if isinstance(each, bytes | bytearray))])
    return found


def test_a_statement_that_comes_again_has_its_cursor(
    conn: psycopg.Connection[Any], table: str
) -> None:
    """Whatever comes between: one for ``get`` and one for ``set``."""
    kv = PostgresKV(conn, table=table)
    kv.set("a", b"1")
    assert kv.get("a") == b"1"
    before = {id(each) for each in cursors_of(conn)}
    assert len(before) == 2
    for number in range(10):
        kv.set("a", b"%d" % number)
        assert kv.get("a") == b"%d" % number
        assert {id(each) for each in cursors_of(conn)} == before


def test_no_value_is_held(conn: psycopg.Connection[Any], table: str) -> None:
    """Neither what was written, if it is large, nor what was read."""
    kv = PostgresKV(conn, table=table)
    kv.create_table()
    value = bytes(LARGE)
    kv.set("large", value)
    kv.set_if_absent("other", value, None)
    kv.set_many({"one": value, "two": value})
    kv.set("small", b"!" * 1_000)
    held = [largest_in(each) for each in cursors_of(conn)]
    assert 1_000 <= max(held) < LARGE
    assert kv.get("large") == value
    assert kv.get_versioned("large") is not None
    results = [each.pgresult for each in cursors_of(conn) if each.pgresult is not None]
    assert [result.ntuples for result in results if result.ntuples] == []


def test_a_statement_that_failed_leaves_no_cursor(
    conn: psycopg.Connection[Any], table: str
) -> None:
    """The next call of it is as good as the first."""
    kv = PostgresKV(conn, table=table)
    kv.set("a", b"1")
    assert kv.get("a") == b"1"
    conn.execute(f'drop table "{table}"'.encode())
    assert kv.get("a") is None  # the table is made again
    kv.set("a", b"2")
    assert kv.get("a") == b"2"


def test_connections_that_a_pool_replaced_are_let_go(
    server: Postgres, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However many there were."""
    caplog.set_level(logging.CRITICAL, "psycopg.pool")  # its records hold connections
    with ConnectionPool(server.url, min_size=1, max_size=1) as pool:
        kv = PostgresKV(pool, table=table)
        gone: list[int] = []
        for number in range(5):
            kv.set("a", b"%d" % number)
            with pool.connection() as conn:
                gone.append(id(conn))
                conn.close()
        kv.set("a", b"last")
        gc.collect()
        everything: list[Any] = gc.get_objects()
        alive: list[Any] = [each for each in everything if type(each) is psycopg.Connection]
        assert [each for each in alive if each.closed and id(each) in gone[:-1]] == []
        assert kv.get("a") == b"last"
