"""The table of a SQLite file that keeps values, and the statements on it.

The configuration is the one that measured best for values of 100 B to 10 MiB: a plain rowid table
(``WITHOUT ROWID`` makes a miss cost as much as a read), pages of 8 KiB, a write-ahead log, one
statement per operation.

    column   type      holds
    id       INTEGER   the rowid
    k        TEXT      the key; compared as the bytes of its UTF-8, hence listed in that order
    rev      INTEGER   64 random bits, drawn anew by every write: the token of ``Versioned``
    exp      REAL      seconds since the epoch at which the value is gone, or NULL
    v        BLOB      the value; last, so that reading the others never touches its pages

``rev`` is random and not a counter. A counter per row starts again when a row is deleted and
inserted, and would bring an old token back; a counter for the whole table that survives deletes
is one more page that every write must change. Random bits cost nothing and need no memory: a
token meets a later write of its key again once in 2**64. (SQLite reseeds its generator when a
file is opened in a forked child, so parent and child do not draw the same ones.)
"""

# ruff: noqa: S608 - the name of the table is checked, the rest are constants of this file

from __future__ import annotations

import re
from typing import Final

from kvcodec.errors import ConfigError

__all__ = ["COLUMNS", "IN_SIZES", "PAGE_KEYS", "PURGE_ROWS", "Statements"]

COLUMNS: Final = ("id", "k", "rev", "exp", "v")

PAGE_KEYS: Final = 256
"""Keys per page of a listing (about 0.1 ms): no read is open between two pages."""

IN_SIZES: Final = (1, 4, 16, 64, 256)
"""Numbers of variables in one ``in (...)``. A few sizes, filled up with a key that is asked for
anyway, so that their prepared statements are reused; below 999, the lowest default limit
(SQLITE_MAX_VARIABLE_NUMBER before 3.32)."""

PURGE_ROWS: Final = 1_024
"""Rows that one statement of a purge deletes, so that other writers are let in between."""

_NAME: Final = r"(?!sqlite_)[A-Za-z_][A-Za-z0-9_]{0,62}"

_LIVE: Final = "(exp is null or exp > ?)"


class Statements:
    """The statements on one table, whose name is a plain identifier: letters, digits and ``_``."""

    create: tuple[str, str]
    get: str
    set: str
    set_ttl: str
    add: str
    delete: str
    exists: str
    get_version: str
    set_version: str
    delete_version: str
    get_many: dict[int, str]
    page: str
    any_expired: str
    purge: str

    def __init__(self, table: str) -> None:
        given: object = table
        if not isinstance(given, str) or not re.fullmatch(_NAME, given):
            raise ConfigError(
                "table= is a name of up to 63 letters, digits and underscores, which begins with"
                " no digit and not with sqlite_"
            )
        name = f'"{table}"'
        insert = f"insert into {name}(k, rev, exp, v) values"
        conflict = "on conflict(k) do update set rev = excluded.rev"
        self.table = table
        self.create = (
            f"""create table if not exists {name}(
                id integer primary key, k text not null unique, rev integer not null, exp real,
                v blob not null)""",
            # Partial: a write without ttl does not touch it, and a purge reads only what expired.
            f'create index if not exists "{table}.exp" on {name}(exp) where exp is not null',
        )
        self.get = f"select v, exp from {name} where k = ?"
        self.set = f"{insert} (?, random(), null, ?) {conflict}, exp = null, v = excluded.v"
        self.set_ttl = (
            f"{insert} (?, random(), ?, ?) {conflict}, exp = excluded.exp, v = excluded.v"
        )
        self.add = f"{self.set_ttl} where {name}.exp <= ?"
        self.delete = f"delete from {name} where k = ?"
        self.exists = f"select 1 from {name} where k = ? and {_LIVE}"
        self.get_version = f"select v, rev from {name} where k = ? and {_LIVE}"
        self.set_version = f"""update {name} set rev = random(), exp = ?, v = ?
            where k = ? and rev = ? and {_LIVE}"""
        self.delete_version = f"delete from {name} where k = ? and rev = ? and {_LIVE}"
        self.get_many = _of_many("k, v", name)
        self.get_many_versions: dict[int, str] = _of_many("k, v, rev", name)
        self.page = f"""select k from {name} where k >= ? and k < cast(? as text) and {_LIVE}
            order by k limit {PAGE_KEYS}"""
        self.any_expired = f"select 1 from {name} where exp <= ? limit 1"
        self.purge = f"""delete from {name} where id in (
            select id from {name} where exp <= ? order by exp limit {PURGE_ROWS})"""


def _of_many(columns: str, name: str) -> dict[int, str]:
    """The statements that read several keys, by how many they take."""
    start = f"select {columns} from {name} where {_LIVE} and k in"
    return {size: f"{start} ({', '.join('?' * size)})" for size in IN_SIZES}
