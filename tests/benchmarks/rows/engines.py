"""A ``Store.get`` and a ``Log.append`` on every engine, as the chart of engines shows them.

No reference: what an engine costs here is what its client and its server cost, on this machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import psycopg
import redis

from kvcodec import Log, PostgresKV, RedisKV, SQLiteKV, Store
from tests.benchmarks.data import KEYS_IN_USE, PREFERENCES, fresh_keys
from tests.benchmarks.registry import Mark, Setting, row
from tests.benchmarks.rows.stores.log import HISTORY, sample
from tests.benchmarks.rows.stores.plain import CHECKED
from tests.benchmarks.timing import Race, each_one

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


ENGINES: dict[str, tuple[Callable[[Setting], Any], int]] = {
    "dict": (a_dict, 500),
    "SQLite": (sqlite, 50),
    "Redis": (redis_server, 10),
    "PostgreSQL": (postgres, 10),
}
"""What opens it, and the calls of a round, in the order of the chart."""


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


for engine, (how, calls) in ENGINES.items():
    row(f"{GET} on {engine}", mark=Mark(engine, GET))(get_on(how, calls))
    row(f"{APPEND} on {engine}", mark=Mark(engine, APPEND))(append_on(how, calls))
