"""KVs on real engines, each empty and apart from all others: for tests of any folder.

    make_kv = ENGINES["redis"]
    kv = make_kv()  # twin(kv) is an async KV of the same place, awaited(...) waits for it

A server is started at its first use in a process, and ended with the session.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import redis
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from redis import asyncio as aioredis

from kvcodec import AsyncPostgresKV, AsyncRedisKV, PostgresKV, RedisKV
from tests.servers.postgres import Postgres, postgres
from tests.servers.redis import RedisServer

__all__ = [
    "ENGINES",
    "awaited",
    "close_engines",
    "on_engine",
    "postgres_server",
    "redis_server",
    "twin",
    "unlisted",
]

T = TypeVar("T")

PLACES = 32
"""KVs of one engine that can be in use at once; then the oldest one's place is emptied."""

HOUR = 3600
"""Of the tests' clocks is a second of the servers': a lifetime ends when a test says so."""

_open = ExitStack()


class _Patient:
    """Keeps values on the server for long: what is over is decided by the clock of a store."""

    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> Any:
        return self._super.set_with_ttl(key, value, ttl * HOUR)

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> Any:
        return self._super.set_many_with_ttl(items, ttl * HOUR)

    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> Any:
        return self._super.set_if_absent(key, value, ttl and ttl * HOUR)

    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None, /) -> Any:
        return self._super.set_if_version(key, value, token, ttl and ttl * HOUR)

    @property
    def _super(self) -> Any:
        return super()

    place = 0


class _Redis(_Patient, RedisKV): ...


class _AsyncRedis(_Patient, AsyncRedisKV): ...


class _Postgres(_Patient, PostgresKV): ...


class _AsyncPostgres(_Patient, AsyncPostgresKV): ...


# ------------------------------------------------------------------------------------- servers


@cache
def redis_server() -> RedisServer:
    """Return this process's Redis. It keeps what it is given: no concern for anybody."""
    folder = Path(_open.enter_context(tempfile.TemporaryDirectory()))
    options = ("--save", "", "--appendonly", "yes", "--databases", str(PLACES))
    return _open.enter_context(RedisServer(folder, *options))


@cache
def postgres_server() -> Postgres:
    """Return this process's PostgreSQL."""
    return _open.enter_context(postgres())


@cache
def _runner() -> asyncio.Runner:
    return _open.enter_context(asyncio.Runner())


def awaited(result: Awaitable[T]) -> T:
    """Wait for something of an async KV of an engine: all of them belong to one event loop."""

    async def wait() -> T:
        return await result

    return _runner().run(wait())


def close_engines() -> None:
    """End the servers that were started, and whatever is open on them."""
    _open.close()


# ----------------------------------------------------------------------------------------- KVs


@cache
def _redis(place: int) -> Any:
    return _open.enter_context(redis.Redis(port=redis_server().port, db=place))


@cache
def _async_redis(place: int) -> aioredis.Redis:
    client = aioredis.Redis(port=redis_server().port, db=place)
    _runner()  # which is closed after the client
    _open.callback(lambda: awaited(client.aclose()))
    return client


@cache
def _pool() -> ConnectionPool[Any]:
    options: dict[str, Any] = {"min_size": 1, "max_size": 8, "kwargs": {"autocommit": True}}
    return _open.enter_context(ConnectionPool(postgres_server().url, open=True, **options))


@cache
def _async_pool() -> AsyncConnectionPool[Any]:
    options: dict[str, Any] = {"min_size": 1, "max_size": 8, "kwargs": {"autocommit": True}}
    pool = AsyncConnectionPool(postgres_server().url, open=False, **options)
    awaited(pool.open())
    _open.callback(lambda: awaited(pool.close()))
    return pool


_places = itertools.cycle(range(PLACES))


def _on_redis() -> RedisKV:
    place = next(_places)
    _redis(place).execute_command("FLUSHDB")
    kv = _Redis(_redis(place))
    kv.place = place
    return kv


def _on_postgres() -> PostgresKV:
    place = next(_places)
    kv = _Postgres(_pool(), table=_table(place))
    kv.create_table()
    with _pool().connection() as conn:
        conn.execute(SQL("delete from {}").format(Identifier(_table(place))))
    kv.place = place
    return kv


def _table(place: int) -> str:
    return f"place_{place}"


ENGINES: dict[str, Callable[[], Any]] = {"redis": _on_redis, "postgres": _on_postgres}
"""What makes an empty KV, by the name of the engine."""


def unlisted(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return what makes the same KVs without a listing, so that an index is needed."""

    def made() -> Any:
        kv = make()
        kv.scan_keys = None
        return kv

    return made


def on_engine(kv: object) -> bool:
    """Say whether a KV is one from ``ENGINES``."""
    return isinstance(kv, _Patient)


def twin(kv: Any) -> Any:
    """Return an async KV of the place that a KV from ``ENGINES`` is on; it lists if that does."""
    on_redis = isinstance(kv, _Redis)
    made: Any = _async_on_redis(kv.place) if on_redis else _async_on_postgres(kv.place)
    if kv.scan_keys is None:
        made.scan_keys = None
    return made


def _async_on_redis(place: int) -> AsyncRedisKV:
    return _AsyncRedis(_async_redis(place))


def _async_on_postgres(place: int) -> AsyncPostgresKV:
    return _AsyncPostgres(_async_pool(), table=_table(place))
