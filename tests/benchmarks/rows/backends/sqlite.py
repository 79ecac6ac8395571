"""SQLiteKV with values of 1 KiB, beside sqlite3 by hand and beside two libraries on SQLite.

Every side has a file of its own in the same directory, write-ahead logged, and every ``set`` is
committed when it returns. The best rounds of a set are those in which SQLite did not move its log
into the file, which costs both sides the same: what remains to compare is what the sides add.

- *sqlite3 lines*: one connection and one cursor, the pragmas and the table of SQLiteKV. They
  take no other threads, no forks, no lifetimes and no faults into account, and read only the
  column they return.
- *diskcache*: its own defaults are WAL with ``synchronous=NORMAL``, the same durability. Without
  eviction (``eviction_policy="none"``, ``cull_limit=0``), since a KV forgets nothing. Values of
  1 KiB stay in its database.
- *sqlitedict*: in place of its defaults ``autocommit=True`` (its ``set`` then waits for the
  commit), ``journal_mode="WAL"``, ``synchronous=NORMAL`` (it says OFF), values as they are instead
  of pickled, and no stack kept per call (``outer_stack=False``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Literal

from kvcodec import SQLiteKV
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.timing import Race, each_one, each_two

HAND = "sqlite3 lines, same pragmas and table"

CALLS = 100

VALUES = [os.urandom(1024) for _ in range(16)]

Durability = Literal["process", "full"]


class Hand:
    """The lines that one would write, at their best."""

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        cursor = self.connection.cursor()
        cursor.execute("pragma page_size = 8192")
        cursor.execute("pragma journal_mode = wal")
        level = "normal" if durability == "process" else "full"
        cursor.execute(f"pragma synchronous = {level}")
        cursor.execute(
            "create table kv(id integer primary key, k text not null unique,"
            " rev integer not null, exp real, v blob not null)"
        )
        cursor.execute("create index kv_exp on kv(exp) where exp is not null")
        self.get = hand_get(cursor)
        self.set = hand_set(cursor)


def hand_get(cursor: sqlite3.Cursor) -> Callable[[str], bytes | None]:
    """The reading function."""

    def get(key: str) -> bytes | None:
        found = cursor.execute("select v from kv where k = ?", (key,)).fetchone()
        return None if found is None else found[0]

    return get


def hand_set(cursor: sqlite3.Cursor) -> Callable[[str, bytes], None]:
    """The writing function."""

    def set_(key: str, value: bytes) -> None:
        cursor.execute(
            "insert into kv(k, rev, exp, v) values (?, random(), null, ?)"
            " on conflict(k) do update set rev = excluded.rev, exp = null, v = excluded.v",
            (key, value),
        )

    return set_


def changing(turn: count[int], calls: int) -> list[tuple[str, bytes]]:
    """Pairs whose values differ from those that the keys had in the round before."""
    start = next(turn)
    return [
        (key, VALUES[(start + number) % len(VALUES)])
        for number, key in enumerate(fresh_keys(calls))
    ]


def get_race(ours: SQLiteKV, get: Callable[[str], Any], set_: Callable[[str, bytes], Any]) -> Race:
    """Reading, where both sides have written every key."""
    for key, value in changing(count(), KEYS_IN_USE):
        ours.set(key, value)
        set_(key, value)
    assert ours.get("user-7") == get("user-7") is not None
    return Race(each_one(ours.get, fresh_keys), each_one(get, fresh_keys), CALLS)


def set_race(ours: SQLiteKV, set_: Callable[[str, bytes], Any], calls: int = CALLS) -> Race:
    """Overwriting."""
    return Race(
        each_two(ours.set, partial(changing, count())),
        each_two(set_, partial(changing, count())),
        calls,
    )


def our_kv(setting: Setting, durability: Durability = "process") -> SQLiteKV:
    """A new SQLiteKV, closed with the row."""
    return setting.stack.enter_context(
        SQLiteKV(setting.directory / "ours.db", durability=durability)
    )


def hand_lines(setting: Setting, durability: Durability = "process") -> Hand:
    """New hand-written lines, closed with the row."""
    hand = Hand(setting.directory / "hand.db", durability)
    setting.stack.callback(hand.connection.close)
    return hand


def disk_cache(setting: Setting) -> Any:
    """A new diskcache, closed with the row."""
    module = import_module("diskcache")
    cache = module.Cache(str(setting.directory / "cache"), eviction_policy="none", cull_limit=0)
    setting.stack.callback(cache.close)
    return cache


def sqlite_dict(setting: Setting) -> Any:
    """A new sqlitedict, closed with the row."""
    module = import_module("sqlitedict")
    mapping = module.SqliteDict(
        str(setting.directory / "dict.db"),
        autocommit=True,
        journal_mode="WAL",
        encode=_as_it_is,
        decode=_as_it_is,
        outer_stack=False,
    )
    setting.stack.callback(mapping.close)
    mapping.conn.execute("pragma synchronous = normal")
    return mapping


def _as_it_is(value: bytes) -> bytes:
    return value


@row("SQLiteKV get, 1 KiB", beside=HAND, target=at_most(1.15))
def sqlite_get(setting: Setting) -> Race:
    """Beside the fewest lines."""
    hand = hand_lines(setting)
    return get_race(our_kv(setting), hand.get, hand.set)


@row("SQLiteKV set, 1 KiB", beside=HAND, target=at_most(1.15))
def sqlite_set(setting: Setting) -> Race:
    """Durable when the process is killed, both."""
    return set_race(our_kv(setting), hand_lines(setting).set)


@row('SQLiteKV set, 1 KiB, durability="full"', beside=HAND, target=at_most(1.15))
def sqlite_set_full(setting: Setting) -> Race:
    """Durable when the power fails, both."""
    return set_race(our_kv(setting, "full"), hand_lines(setting, "full").set, calls=10)


@row("SQLiteKV get, 1 KiB, beside diskcache", beside="diskcache, no eviction", needs=("diskcache",))
def sqlite_get_beside_diskcache(setting: Setting) -> Race:
    """Both without eviction."""
    cache = disk_cache(setting)
    return get_race(our_kv(setting), cache.get, cache.set)


@row("SQLiteKV set, 1 KiB, beside diskcache", beside="diskcache, no eviction", needs=("diskcache",))
def sqlite_set_beside_diskcache(setting: Setting) -> Race:
    """Both WAL, NORMAL."""
    return set_race(our_kv(setting), disk_cache(setting).set)


@row(
    "SQLiteKV get, 1 KiB, beside sqlitedict",
    beside="sqlitedict, raw values, WAL",
    needs=("sqlitedict",),
)
def sqlite_get_beside_sqlitedict(setting: Setting) -> Race:
    """Both without pickle."""
    mapping = sqlite_dict(setting)
    return get_race(our_kv(setting), mapping.__getitem__, mapping.__setitem__)


@row(
    "SQLiteKV set, 1 KiB, beside sqlitedict",
    beside="sqlitedict, raw values, WAL, autocommit",
    needs=("sqlitedict",),
)
def sqlite_set_beside_sqlitedict(setting: Setting) -> Race:
    """Both WAL, NORMAL, committed when set returns."""
    return set_race(our_kv(setting), sqlite_dict(setting).__setitem__)
