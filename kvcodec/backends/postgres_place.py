"""What all KVs on one pool or connection share, and which database it leads to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from kvcodec.backends.postgres_statements import Statements, statements
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits

__all__ = ["PostgresTable", "Sharing", "checked_url", "sharing"]

_PURGE_EVERY: Final = 256
"""Values with a ttl between two purges. One purge removes more than were written meanwhile."""

_WHERE: Final = ("host", "hostaddr", "port", "dbname", "user")
"""The options of a connection that say to which database it leads."""


class Sharing:
    """What all KVs on one pool or connection share."""

    def __init__(self, handle: Any, lock: Any) -> None:
        self.lock = lock
        self.database: Hashable = _database(handle)
        self._ttl_writes = itertools.count()

    def due(self, writes: int) -> int:
        """Count values with a ttl; return how often to purge now: for the first, and now and then.

        By who writes them, so that only who uses them pays.
        """
        return sum(not next(self._ttl_writes) % _PURGE_EVERY for _ in range(writes))


_SHARED: Final[WeakKeyDictionary[Any, Sharing]] = WeakKeyDictionary()


def sharing(handle: object, lock: Callable[[], object]) -> Sharing:
    """Return what the KVs on a handle share; ``lock`` makes its lock."""
    shared = _SHARED.get(handle)
    if shared is None:
        shared = _SHARED.setdefault(handle, Sharing(handle, lock()))
    return shared


class PostgresTable:
    """What both twins are, whatever carries their statements: one table of a database."""

    ordered: bool = True
    """``scan_keys`` yields keys in the order of their UTF-8 bytes."""

    limits: Limits
    """2,600 bytes of a key, which an index can hold, and 1 GiB less 64 KiB of a value."""

    _sql: Statements
    _shared: Sharing

    @staticmethod
    def ddl(*, table: str = "kv", schema: str | None = None) -> str:
        """Return the SQL that makes the table, for those who migrate by hand.

        Raises ConfigError for a name that is none.
        """
        return statements(table, schema).ddl(with_schema=True)

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return server, database and table, the same for every handle on it, and the key."""
        return ("postgresql", self._shared.database, self._sql.name), key


def checked_url(url: str) -> str:
    """Return a URL or connection string. Raises ConfigError, without it, for one that is none."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        pass
    else:
        return url
    raise ConfigError(
        "this is no connection string that libpq takes: postgresql://user@host:5432/database"
    )


def _database(handle: Any) -> Hashable:
    if isinstance(handle, psycopg.Connection | psycopg.AsyncConnection):
        return _of_connection(cast("psycopg.Connection[Any]", handle))
    conninfo: object = handle.conninfo
    kwargs: object = handle.kwargs
    if not isinstance(conninfo, str) or callable(kwargs):
        return id(handle)  # made anew for each connection
    named = cast("Mapping[str, Any]", kwargs or {})
    said = {name: named[name] for name in _WHERE if named.get(name) is not None}
    try:
        return _filled(conninfo_to_dict(conninfo, **said))
    except psycopg.Error:
        return id(handle)


def _of_connection(conn: psycopg.Connection[Any]) -> Hashable:
    try:
        return conn.info.host, str(conn.info.port), conn.info.dbname
    except psycopg.Error:
        return id(conn)  # closed already


def _filled(said: Mapping[str, Any]) -> Hashable:
    """Return host, port and database as libpq completes them, environment included."""
    usual = {
        option.keyword.decode(): option.val.decode() if option.val else None
        for option in Conninfo.get_defaults()
    }
    found = {name: said.get(name) or usual.get(name) for name in _WHERE}
    return (
        found["host"] or found["hostaddr"],
        str(found["port"]),
        found["dbname"] or found["user"],
    )
