"""The table of a PostgreSQL database that keeps values, and the calls on it. No I/O.

    column   type          holds
    k        bytea         the key in UTF-8; compared byte by byte, hence listed in that order
    rev      uuid          drawn anew by every write: the token of ``Versioned``
    exp      timestamptz   when the value is gone, by the server's clock, or NULL
    v        bytea         the value

``rev`` is random and no sequence: one object less to create and to grant, and a token never comes
back. The clock is the server's, because that is one clock for all who share the table; and
``statement_timestamp()``, because ``now()`` stands still in a transaction and
``clock_timestamp()`` keeps an index from being used.
"""

# ruff: noqa: S608 - the names are checked, the rest are constants of this file

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

from kvcodec.backends.limits import check_key, check_value
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits, Token

__all__ = ["LIMITS", "PAGE_KEYS", "PURGE_ROWS", "Call", "Statements", "statements"]

R = TypeVar("R")

_KEY_BYTES: Final = 2_600

_VALUE_BYTES: Final = 1_073_676_288

LIMITS: Final = Limits(key_bytes=_KEY_BYTES, value_bytes=_VALUE_BYTES)
"""Of a key: what one page of a btree takes, 2,704 bytes, less what stands around it. Of a value:
1 GiB (MaxAllocSize) is the most of a whole row and of a message, less 64 KiB for the rest."""

_ANY: Final = Limits()

PAGE_KEYS: Final = 1_000
"""Keys per page of a listing: no query is open between two pages."""

PURGE_ROWS: Final = 1_024
"""Rows that one statement of a purge deletes, so that no writer waits long for it."""

_KEYS: Final = 5_000
"""Keys in one statement of those that take many."""

_GROUP_BYTES: Final = 64 * 1024 * 1024
"""Of the values in one statement; an array ends at 1 GiB."""

_LONGEST_TTL: Final = 1e11
"""Seconds, some 3,000 years: what is to live longer does, in any time that a timestamp holds."""

_LIVE: Final = "(exp is null or exp > statement_timestamp())"

_LOCK: Final = 5_577_006_791_947_779_410
"""Of whoever creates a table. ``create table if not exists`` of two sessions at once fails."""


class Call(NamedTuple, Generic[R]):
    """One operation: a statement, what it is called with, and what its result means."""

    sql: bytes
    groups: Sequence[tuple[object, ...]]
    """Parameters. Several: the statement runs for each, in one transaction if it writes."""
    answer: Callable[[list[Any], int], R]
    """Of the rows, and of how many rows were changed."""
    key: str | None
    writes: bool
    lost: R | None = None
    """What it means that another transaction changed the row first, where that is no error."""


class Statements:
    """The calls on one table."""

    def __init__(self, table: str, schema: str | None) -> None:
        quoted = f'"{_name(table, "table")}"'
        name = quoted if schema is None else f'"{_name(schema, "schema")}".{quoted}'
        end = "statement_timestamp() + make_interval(secs => %s::float8)"
        update = "do update set rev = excluded.rev, exp = excluded.exp, v = excluded.v"
        insert = f"insert into {name} as t (k, rev, exp, v)"
        one = f"{insert} values (%b, gen_random_uuid(), {end}, %b) on conflict (k) {update}"
        locked = f"select k from {name} where k = any(%b) order by k for update"
        self.name = name
        self._schema = schema
        self._make = f"""create table if not exists {name} (
    k bytea primary key,
    rev uuid not null,
    exp timestamptz,
    v bytea not null
);
create index if not exists "{table}_exp" on {name} (exp) where exp is not null;
"""
        self._get = f"select v from {name} where k = %b and {_LIVE}".encode()
        self._set = (
            f"{insert} values (%b, gen_random_uuid(), null, %b) on conflict (k) {update}".encode()
        )
        self._set_ttl = one.encode()
        self._add = f"{one} where t.exp <= statement_timestamp()".encode()
        self._delete = f"delete from {name} where k = %b".encode()
        self._exists = f"select 1 from {name} where k = %b and {_LIVE}".encode()
        self._get_many = f"select k, v from {name} where k = any(%b) and {_LIVE}".encode()
        # In order, as all who take many rows, so that two of them never wait for each other.
        self._set_many = f"""{insert} select k, gen_random_uuid(), {end}, v
            from unnest(%b::bytea[], %b::bytea[]) as new(k, v) order by k
            on conflict (k) {update}""".encode()
        self._delete_many = f"delete from {name} where k in ({locked})".encode()
        self._page = f"""select k from {name} where k >= %b and k < %b and {_LIVE}
            order by k limit {PAGE_KEYS}""".encode()
        self._purge = f"""delete from {name} where k in (
            select k from {name} where exp <= statement_timestamp()
            order by exp limit {PURGE_ROWS} for update skip locked)""".encode()
        self._get_version = f"select v, rev from {name} where k = %b and {_LIVE}".encode()
        self._set_version = f"""update {name} set rev = gen_random_uuid(), exp = {end}, v = %b
            where k = %b and rev = %s and {_LIVE}""".encode()
        self._delete_version = f"delete from {name} where k = %b and rev = %s and {_LIVE}".encode()

    def ddl(self, *, with_schema: bool) -> str:
        """Return what makes the table, for whoever does it by hand too."""
        if self._schema is None or not with_schema:
            return self._make
        return f'create schema if not exists "{self._schema}";\n{self._make}'

    def look(self) -> Call[tuple[bool, bool]]:
        """Return the call that says whether the schema is there, and the table."""
        sql = b"""select %s::text is null or to_regnamespace(%s) is not null,
            to_regclass(%s) is not null"""
        quoted = None if self._schema is None else f'"{self._schema}"'
        return Call(sql, ((quoted, quoted, self.name),), _first, None, writes=False)

    def create(self, *, with_schema: bool) -> Call[None]:
        """Return the call that makes the table."""
        sql = f"select pg_advisory_xact_lock({_LOCK});\n{self.ddl(with_schema=with_schema)}"
        return Call(sql.encode(), ((),), _nothing, None, writes=True)

    def get(self, key: str) -> Call[bytes | None]:
        """Return the call of ``get``."""
        return Call(self._get, ((_named(key),),), _value, key, writes=False)

    def set(self, key: str, value: bytes) -> Call[None]:
        """Return the call of ``set``."""
        row = (_named(key), _checked(key, value))
        return Call(self._set, (row,), _nothing, key, writes=True)

    def delete(self, key: str) -> Call[None]:
        """Return the call of ``delete``."""
        return Call(self._delete, ((_named(key),),), _nothing, key, writes=True)

    def exists(self, key: str) -> Call[bool]:
        """Return the call of ``exists``."""
        return Call(self._exists, ((_named(key),),), _there, key, writes=False)

    def get_many(self, keys: Sequence[str]) -> Call[dict[str, bytes]]:
        """Return the call of ``get_many``."""
        names = [_named(key) for key in keys]

        def answer(rows: list[Any], _: int) -> dict[str, bytes]:
            found = dict(rows)
            asked = zip(keys, map(found.get, names), strict=True)
            return {key: value for key, value in asked if value is not None}

        groups = [(names[at : at + _KEYS],) for at in range(0, len(names), _KEYS)]
        return Call(self._get_many, groups, answer, None, writes=False)

    def set_many(self, items: Mapping[str, bytes], ttl: float | None) -> Call[None]:
        """Return the call of ``set_many`` and of ``set_many_with_ttl``."""
        end = _seconds(ttl)
        # By code points, which is the order of UTF-8.
        rows = [(_named(key), _checked(key, items[key])) for key in sorted(items)]
        groups = [(end, [k for k, _ in part], [v for _, v in part]) for part in _groups(rows)]
        return Call(self._set_many, groups, _nothing, None, writes=True)

    def delete_many(self, keys: Sequence[str]) -> Call[None]:
        """Return the call of ``delete_many``."""
        names = sorted({_named(key) for key in keys})
        groups = [(names[at : at + _KEYS],) for at in range(0, len(names), _KEYS)]
        return Call(self._delete_many, groups, _nothing, None, writes=True)

    def page(self, prefix: str, start_after: str) -> Call[list[str]]:
        """Return the call of one page of ``scan_keys``."""
        begins = _encoded(prefix)
        # The successor of a key is the key with a NUL; 0xFF is in no UTF-8.
        lowest = max(begins, _encoded(start_after) + b"\0") if start_after else begins
        return Call(self._page, ((lowest, begins + b"\xff"),), _names, None, writes=False)

    def set_with_ttl(self, key: str, value: bytes, ttl: float) -> Call[None]:
        """Return the call of ``set_with_ttl``."""
        row = (_named(key), _seconds(ttl), _checked(key, value))
        return Call(self._set_ttl, (row,), _nothing, key, writes=True)

    def purge(self) -> Call[int]:
        """Return the call that deletes up to ``PURGE_ROWS`` expired rows."""
        return Call(self._purge, ((),), _count, None, writes=True)

    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Call[bool]:
        """Return the call of ``set_if_absent``."""
        row = (_named(key), _seconds(ttl), _checked(key, value))
        return Call(self._add, (row,), _one, key, writes=True)

    def get_versioned(self, key: str) -> Call[tuple[bytes, Token] | None]:
        """Return the call of ``get_versioned``."""
        return Call(self._get_version, ((_named(key),),), _pair, key, writes=False)

    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None) -> Call[bool]:
        """Return the call of ``set_if_version``."""
        row = (_seconds(ttl), _checked(key, value), _named(key), token)
        return Call(self._set_version, (row,), _one, key, writes=True, lost=False)

    def delete_if_version(self, key: str, token: Token) -> Call[bool]:
        """Return the call of ``delete_if_version``."""
        row = (_named(key), token)
        return Call(self._delete_version, (row,), _one, key, writes=True, lost=False)


@cache
def statements(table: str, schema: str | None) -> Statements:
    """Return the calls on a table. Raises ConfigError for a name that is none."""
    return Statements(table, schema)


# ------------------------------------------------------------------------- what is called with


def _name(name: str, option: str) -> str:
    # PostgreSQL cuts names at 63 bytes without a word, and the index has the table's and `_exp`.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$-]{0,58}", name):
        raise ConfigError(
            f"{option}= is a name of up to 59 letters, digits, underscores, hyphens and $, which "
            "begins with a letter or an underscore"
        )
    return name


def _named(key: str) -> bytes:
    if not key.isascii() or len(key) > _KEY_BYTES:
        check_key(key, LIMITS)
    return key.encode()


def _encoded(text: str) -> bytes:
    check_key(text, _ANY)
    return text.encode()


def _checked(key: str, value: bytes) -> bytes:
    data = value if type(value) is bytes else bytes(memoryview(value))
    if len(data) > _VALUE_BYTES:
        check_value(key, len(data), LIMITS)
    return data


def _seconds(ttl: float | None) -> float | None:
    """Return a ttl as the server takes it. Raises ConfigError for one that is none."""
    if ttl is None:
        return None
    if not 0 < ttl < math.inf:
        raise ConfigError("a ttl is a number of seconds above 0, and finite")
    return float(min(ttl, _LONGEST_TTL))


def _groups(rows: list[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    group: list[tuple[bytes, bytes]] = []
    size = 0
    for row in rows:
        size += len(row[1])
        if group and (size > _GROUP_BYTES or len(group) == _KEYS):
            yield group
            group, size = [], len(row[1])
        group.append(row)
    if group:
        yield group


# ------------------------------------------------------------------------- what a result means


def _nothing(rows: list[Any], changed: int) -> None: ...


def _value(rows: list[Any], _: int) -> bytes | None:
    return rows[0][0] if rows else None


def _pair(rows: list[Any], _: int) -> tuple[bytes, Token] | None:
    return rows[0] if rows else None


def _first(rows: list[Any], _: int) -> Any:
    return rows[0]


def _there(rows: list[Any], _: int) -> bool:
    return bool(rows)


def _names(rows: list[Any], _: int) -> list[str]:
    return [key.decode() for (key,) in rows]


def _one(_: list[Any], changed: int) -> bool:
    return changed == 1


def _count(_: list[Any], changed: int) -> int:
    return changed
