"""What operations cost on each engine: the table of docs/ENGINES.md, counted on real servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
import redis

import kvcodec.backends.redis as over_redis
from kvcodec import (
    Cache,
    Counters,
    Files,
    HandleKV,
    Keyspace,
    Log,
    MemoryKV,
    PostgresKV,
    RedisKV,
    SQLiteKV,
    Store,
    WatchedKV,
)
from tests.servers.postgres import postgres
from tests.servers.redis import RedisCluster, RedisServer

PAGE = Path(__file__).parents[2] / "docs" / "ENGINES.md"

Opened: TypeAlias = tuple[Any, Callable[[], int]]
"""A KV, and what says how often its engine was asked so far."""

HUNDRED = {f"{number}": "hello" for number in range(100)}


def asked(kv: Any, count: Callable[[], int]) -> dict[str, int]:
    """Do everything that the table names, on a KV that was used before; say what each took."""
    store, lasting = Store(Keyspace("notes", str), kv), Store(Keyspace("codes", str, ttl=60), kv)
    log, files = Log(Keyspace("log", str), kv), Files(Keyspace("files", bytes), kv)
    cache = Cache(Keyspace("cache", int, ttl=60), kv)
    store.set("used", "before")
    store.update("used", str.upper)  # the script is known to the server
    lasting.set_many(HUNDRED)
    log.extend("ada", ["hello"] * 30)
    lines: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("used"),
        "in": lambda: "used" in store,
        "set": lambda: store.set("ada", "hello"),
        "set with a ttl": lambda: lasting.set("ada", "hello"),
        "delete": lambda: store.delete("ada"),
        "add": lambda: store.add("new", "hello"),
        "update": lambda: store.update("used", str.lower),
        "pop": lambda: store.pop("new"),
        "get_many": lambda: store.get_many(list(HUNDRED)),
        "set_many": lambda: store.set_many(HUNDRED),
        "delete_many": lambda: store.delete_many(list(HUNDRED)),
        "Log.append": lambda: log.append("ada", "hello"),
        "Log.tail of 20, from the head": lambda: log.tail("ada", 20),
        "Cache.get_or_load, a load": lambda: cache.get_or_load("ada", lambda: 1),
        "Cache.get_or_load, a hit": lambda: cache.get_or_load("ada", lambda: 1),
        "Files.put of one chunk": lambda: files.put("ada", b"hello"),
        "Files.get of one chunk": lambda: files.get("ada"),
    }
    found: dict[str, int] = {}
    for name, do in lines.items():
        before = count()
        do()
        found[name] = count() - before
    return found


def told(column: int) -> dict[str, int]:
    """Return a column of the page's table, by each of the names in its first one."""
    rows = re.findall(
        r"^\| (`.+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    return {name: int(row[column]) for row in rows for name in named(row[0])}


def named(cell: str) -> list[str]:
    """Return what a cell of the first column is about."""
    cell = cell.replace("`", "").removesuffix(" of 100")
    return [cell] if cell.startswith(("Log", "Cache", "Files")) else cell.split(", ")


@contextmanager
def sqlite(folder: Path, _: pytest.MonkeyPatch) -> Generator[Opened]:
    """A file, and the operations on it: a statement each."""
    counters = Counters()
    with SQLiteKV(folder / "app.db") as kv:
        yield WatchedKV(kv, counters), lambda: calls(counters)


def exchanges(patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return what says how often something was sent to a Redis server, and its answer awaited."""
    sent: list[object] = []
    exchanged = over_redis._exchanged

    def noted(pool: Any, commands: Any) -> Any:
        sent.append(commands)
        return exchanged(pool, commands)

    patch.setattr(over_redis, "_exchanged", noted)
    return lambda: len(sent)


@contextmanager
def one_redis(folder: Path, patch: pytest.MonkeyPatch) -> Generator[Opened]:
    """A server, and the exchanges with it."""
    with (
        RedisServer(folder, "--appendonly", "yes") as server,
        redis.Redis(port=server.port) as client,
    ):
        kv = RedisKV(client)
        kv.set_many_with_ttl({"known": b"script"}, 1)
        yield kv, exchanges(patch)


@contextmanager
def cluster(folder: Path, patch: pytest.MonkeyPatch) -> Generator[Opened]:
    """Three servers, which all know the script, and the exchanges with any of them."""
    with (
        RedisCluster(folder) as servers,
        redis.RedisCluster(host="127.0.0.1", port=servers.port) as client,
    ):
        kv = RedisKV(client)
        for number in range(30):
            kv.set_if_version(f"{number}", b"", b"=", None)
        yield kv, exchanges(patch)


@contextmanager
def postgresql(_: Path, patch: pytest.MonkeyPatch) -> Generator[Opened]:
    """A server, and the statements that are sent to it."""
    statements: list[object] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: Any, statement: Any, *arguments: Any, **options: Any) -> Any:
        statements.append(statement)
        return execute(cursor, statement, *arguments, **options)

    patch.setattr(psycopg.Cursor, "execute", noted)
    with postgres() as server, PostgresKV.from_url(server.url) as kv:
        yield kv, lambda: len(statements)


@contextmanager
def three_methods(_: Path, __: pytest.MonkeyPatch) -> Generator[Opened]:
    """A handle with nothing else, and the calls of it."""
    counters = Counters()
    yield WatchedKV(HandleKV(MemoryKV()), counters), lambda: calls(counters)


def calls(counters: Counters) -> int:
    """Return how many calls were counted."""
    return sum(each.calls for each in counters.snapshot().values())


ENGINE, CLUSTER, METHODS = 1, 2, 3
"""Columns of the table."""


@pytest.mark.parametrize(
    ("opened", "column"),
    [
        (sqlite, ENGINE),
        (one_redis, ENGINE),
        (postgresql, ENGINE),
        (cluster, CLUSTER),
        (three_methods, METHODS),
    ],
)
def test_the_table_of_costs(
    opened: Callable[..., Any], column: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each number on the page is what is counted."""
    with opened(tmp_path, monkeypatch) as (kv, count):
        assert asked(kv, count) == told(column)
