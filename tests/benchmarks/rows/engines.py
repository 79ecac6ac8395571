"""A ``Store.get`` and a ``Log.append`` on every engine, as the chart of engines shows them.

No reference: what an engine costs here is what its client and its server cost, on this machine.
On engines that are async only it is ``AsyncStore`` and ``AsyncLog``, awaited in one task.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import psycopg
import redis

from kvcodec import (
    AsyncLog,
    AsyncStore,
    Log,
    NatsKV,
    ObjectKV,
    PostgresKV,
    RedisKV,
    SQLiteKV,
    Store,
)
from tests.benchmarks.data import KEYS_IN_USE, PREFERENCES, fresh_keys
from tests.benchmarks.registry import Mark, Setting, row
from tests.benchmarks.rows.backends.nats import bucket_of
from tests.benchmarks.rows.peers import runner_of
from tests.benchmarks.rows.stores.log import HISTORY, Message, sample
from tests.benchmarks.rows.stores.plain import CHECKED
from tests.benchmarks.timing import Race, awaited_one, each_one

GET = "Store.get"
APPEND = "Log.append"

AGE = 200
"""Messages that a log has before it is measured."""


def a_dict(_: Setting) -> Any:
    """In the process's own memory."""
    return {}


def sqlite(setting: Setting) -> Any:
    """One file."""
    return setting.stack.enter_context(SQLiteKV(setting.directory / "kv.db"))


def redis_server(setting: Setting) -> Any:
    """A server on this machine, empty."""
    client: Any = redis.Redis(port=setting.servers.redis.port)
    client.flushdb()
    return RedisKV(setting.stack.enter_context(client))


def postgres(setting: Setting) -> Any:
    """A server on this machine, an empty table."""
    conn = psycopg.connect(setting.servers.postgres.url, autocommit=True)
    conn.execute("drop table if exists kv")
    return PostgresKV(setting.stack.enter_context(conn))


_FOLDERS = itertools.count(1)


def seaweed(setting: Setting) -> Any:
    """An object store on this machine, by its S3 gateway: an empty folder of its bucket."""
    return ObjectKV(setting.servers.seaweed.store(f"bench-{next(_FOLDERS)}"))


def nats_server(setting: Setting, runner: asyncio.Runner) -> Any:
    """A server on this machine, an empty bucket."""
    return NatsKV(bucket_of(setting, runner))


ENGINES: dict[str, tuple[Callable[[Setting], Any], int]] = {
    "dict": (a_dict, 500),
    "SQLite": (sqlite, 50),
    "Redis": (redis_server, 10),
    "PostgreSQL": (postgres, 10),
    "SeaweedFS": (seaweed, 5),
}
"""What opens it, and the calls of a round, in the order of the chart."""

AWAITED: dict[str, tuple[Callable[[Setting, asyncio.Runner], Any], int]] = {
    "NATS": (nats_server, 10),
}
"""The same of engines that are async only, after those."""


def get_on(opened: Callable[[Setting], Any], calls: int) -> Callable[[Setting], Race]:
    """Reading a value of some 100 bytes."""

    def set_up(setting: Setting) -> Race:
        store = Store(CHECKED, opened(setting))
        store.set_many(dict.fromkeys(fresh_keys(KEYS_IN_USE), PREFERENCES))
        return Race(each_one(store.get, fresh_keys), calls=calls)

    return set_up


def append_on(opened: Callable[[Setting], Any], calls: int) -> Callable[[Setting], Race]:
    """Appending the demo's messages to one log, which grows."""

    def set_up(setting: Setting) -> Race:
        log = Log(HISTORY, opened(setting))
        coming = itertools.cycle(sample())
        log.extend("ada", itertools.islice(coming, AGE))
        return Race(
            each_one(
                lambda message: log.append("ada", message),
                lambda calls: [*itertools.islice(coming, calls)],
            ),
            calls=calls,
        )

    return set_up


def awaited_get_on(
    opened: Callable[[Setting, asyncio.Runner], Any], calls: int
) -> Callable[[Setting], Race]:
    """``get_on``, awaited."""

    def set_up(setting: Setting) -> Race:
        runner = runner_of(setting)
        store = AsyncStore(CHECKED, opened(setting, runner))
        runner.run(store.set_many(dict.fromkeys(fresh_keys(KEYS_IN_USE), PREFERENCES)))
        return Race(awaited_one(runner, store.get, fresh_keys), calls=calls)

    return set_up


def awaited_append_on(
    opened: Callable[[Setting, asyncio.Runner], Any], calls: int
) -> Callable[[Setting], Race]:
    """``append_on``, awaited."""

    def set_up(setting: Setting) -> Race:
        runner = runner_of(setting)
        log = AsyncLog(HISTORY, opened(setting, runner))
        coming = itertools.cycle(sample())
        runner.run(log.extend("ada", itertools.islice(coming, AGE)))

        async def append(message: Message) -> None:
            await log.append("ada", message)

        return Race(
            awaited_one(runner, append, lambda calls: [*itertools.islice(coming, calls)]),
            calls=calls,
        )

    return set_up


def on(engine: str, get: Callable[[Setting], Race], append: Callable[[Setting], Race]) -> None:
    """Add both rows of an engine."""
    row(f"{GET} on {engine}", mark=Mark(engine, GET))(get)
    row(f"{APPEND} on {engine}", mark=Mark(engine, APPEND))(append)


for engine, (how, calls) in ENGINES.items():
    on(engine, get_on(how, calls), append_on(how, calls))
for engine, (open_by, calls) in AWAITED.items():
    on(engine, awaited_get_on(open_by, calls), awaited_append_on(open_by, calls))
