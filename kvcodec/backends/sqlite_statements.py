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

# ruff: noqa: S608 - statements are put together from constants of this file, once

from __future__ import annotations

from typing import Final

__all__ = [
    "ADD",
    "ANY_EXPIRED",
    "DELETE",
    "DELETE_VERSION",
    "EXISTS",
    "GET",
    "GET_MANY",
    "GET_VERSION",
    "IN_SIZES",
    "PAGE",
    "PAGE_KEYS",
    "PURGE",
    "PURGE_ROWS",
    "SET",
    "SET_TTL",
    "SET_UP",
    "SET_VERSION",
]

PAGE_KEYS: Final = 256
"""Keys per page of a listing (about 0.1 ms): no read is open between two pages."""

IN_SIZES: Final = (1, 4, 16, 64, 256)
"""Numbers of variables in one ``in (...)``. A few sizes, filled up with a key that is asked for
anyway, so that their prepared statements are reused; below 999, the lowest default limit
(SQLITE_MAX_VARIABLE_NUMBER before 3.32)."""

PURGE_ROWS: Final = 1_024
"""Rows that one statement of a purge deletes, so that other writers are let in between."""

SET_UP: Final = (
    """create table if not exists kv(
        id integer primary key, k text not null unique, rev integer not null, exp real,
        v blob not null)""",
    # Partial: a write without ttl does not touch it, and a purge reads nothing but expired rows.
    "create index if not exists kv_exp on kv(exp) where exp is not null",
    # Fails at once, and not at the first write, on a file with another table of this name.
    "select id, k, rev, exp, v from kv limit 0",
)

GET: Final = "select v, exp from kv where k = ?"
SET: Final = """insert into kv(k, rev, exp, v) values (?, random(), null, ?)
    on conflict(k) do update set rev = excluded.rev, exp = null, v = excluded.v"""
SET_TTL: Final = """insert into kv(k, rev, exp, v) values (?, random(), ?, ?)
    on conflict(k) do update set rev = excluded.rev, exp = excluded.exp, v = excluded.v"""
ADD: Final = f"{SET_TTL} where kv.exp <= ?"
DELETE: Final = "delete from kv where k = ?"
_LIVE: Final = "(exp is null or exp > ?)"
EXISTS: Final = f"select 1 from kv where k = ? and {_LIVE}"
GET_VERSION: Final = f"select v, rev from kv where k = ? and {_LIVE}"
SET_VERSION: Final = f"""update kv set rev = random(), exp = ?, v = ?
    where k = ? and rev = ? and {_LIVE}"""
DELETE_VERSION: Final = f"delete from kv where k = ? and rev = ? and {_LIVE}"
GET_MANY: Final = {
    size: f"select k, v from kv where {_LIVE} and k in ({', '.join('?' * size)})"
    for size in IN_SIZES
}
PAGE: Final = f"""select k from kv where k >= ? and k < cast(? as text) and {_LIVE}
    order by k limit {PAGE_KEYS}"""
ANY_EXPIRED: Final = "select 1 from kv where exp <= ? limit 1"
PURGE: Final = f"""delete from kv where id in (
    select id from kv where exp <= ? order by exp limit {PURGE_ROWS})"""
