"""A KV in one table of a PostgreSQL database, over a pool, a connection or a URL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

import psycopg

from kvcodec.backends.closing import Closing
from kvcodec.backends.postgres_place import PostgresTable, checked_url, sharing
from kvcodec.backends.postgres_statements import LIMITS, PAGE_KEYS, statements
from kvcodec.backends.postgres_steps import Calling, OnConnection, OnOwnPool, OnPool, run
from kvcodec.errors import forgetful

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from kvcodec.protocols import Token

__all__ = ["PostgresKV"]


class PostgresKV(PostgresTable, Closing):
    """Keeps values in a table of PostgreSQL (13 or later), for any number of processes.

    ``handle``: a ``psycopg_pool.ConnectionPool`` or a ``psycopg.Connection``, yours to
    close; ``from_url`` makes a pool of its own. ``table`` and ``schema``: where the values are; if
    there is no schema, the first of the search path. The table is made at first use, by
    ``create_table``, or by hand from ``ddl``.

    Over a pool each write is committed when it returns, whatever the pool's own options are. A
    connection takes part in the transaction that it is in: what was stored is there for others
    when you commit, and gone when you roll back; an operation that fails spoils nothing that was
    done before it. So it is with a connection as psycopg opens it, which begins a transaction by
    itself: nothing is stored before ``commit()``. With ``autocommit=True`` and outside of a
    transaction each write is committed when it returns. Rows that were written stay locked until
    the transaction ends: others who write them wait.

    Lifetimes go by the server's clock. An expired value reads as absent; its row is deleted by
    the next write, by ``purge``, or by one of the writes with a ttl, which purge now and then,
    outside of transactions.

    Every method may raise Unavailable (no connection, no answer in time, the statement was refused
    or cancelled; not applied), ConfigError (no right to the table, it is not kvcodec's, or the
    connection is in pipeline mode), KeyNameError (a key with a lone surrogate, which UTF-8 cannot
    hold) and LimitExceeded (a key or value over ``limits``; nothing was sent). Those that write:
    OutcomeUnknown (the connection broke while a statement was under way, outside of a
    transaction), Conflict (a deadlock, or a transaction of REPEATABLE READ or SERIALIZABLE that
    was overtaken; not applied), QuotaExceeded (the disk is full), TypeError (a value that is not
    bytes-like). The constructor: ConfigError for a name that is none.
    """

    limits = LIMITS

    def __init__(
        self,
        handle: Connection[Any] | ConnectionPool[Any],
        *,
        table: str = "kv",
        schema: str | None = None,
    ) -> None:
        self._sql = statements(table, schema)
        self._shared = sharing(handle, threading.Lock)
        carrier = (
            OnConnection(handle, self._shared.lock)
            if isinstance(handle, psycopg.Connection)
            else OnPool(handle)
        )
        self._calls = Calling(carrier, self._sql, self._shared)

    @classmethod
    @forgetful
    def from_url(
        cls,
        url: str,
        *,
        table: str = "kv",
        schema: str | None = None,
        connections: int = 10,
        timeout: float = 10.0,
    ) -> Self:
        """Return a KV over a pool of its own, which ``close`` closes.

        ``url``: what libpq takes, ``postgresql://user@host:5432/database?sslmode=require``.
        ``connections``: how many there are at most; ``timeout``: seconds to wait for one, then
        Unavailable is raised. The first is made at first use.

        Raises ConfigError for a URL or a name that is none.
        """
        from psycopg_pool import ConnectionPool  # by who has no pool or connection

        def pool() -> ConnectionPool[Any]:
            return ConnectionPool(
                checked,
                kwargs={"autocommit": True},
                min_size=0,
                max_size=connections,
                timeout=timeout,
                open=False,
            )

        checked = checked_url(url)
        own = OnOwnPool(pool, lambda: None)
        kv = cls(own.pool, table=table, schema=schema)
        kv._calls = Calling(own, kv._sql, kv._shared)
        return kv

    def __repr__(self) -> str:
        return f"PostgresKV(table={self._sql.name})"

    def close(self) -> None:
        """Close what ``from_url`` opened. A pool or connection of yours stays open.

        Closing twice is no error.
        """
        run(self._calls.close())

    def create_table(self) -> None:
        """Make the table, and the schema, if they are not there."""
        run(self._calls.create_table())

    # ------------------------------------------------------------------------ the three methods

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return run(self._calls.do(self._sql.get(key)))

    @forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        run(self._calls.do(self._sql.set(key, value)))

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        run(self._calls.do(self._sql.delete(key)))

    # --------------------------------------------------------------------- exists, many, scan

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return run(self._calls.do(self._sql.exists(key)))

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: keys are read in groups, and writes between two groups are seen.
        """
        return run(self._calls.do(self._sql.get_many(keys)))

    @forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, in one transaction: all of them or none. Ends their ttls."""
        run(self._calls.do(self._sql.set_many(items, None)))

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, in one transaction: all of them or none. Absent ones are no error."""
        run(self._calls.do(self._sql.delete_many(keys)))

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in the order of their UTF-8 bytes.

        With ``start_after`` only keys greater than it. Keys are read a page at a time: between
        two of them nothing is held open, so the caller may write, and take as long as it likes.
        Keys that are written or deleted meanwhile may or may not be seen; every other key is,
        exactly once.
        """
        page = run(self._calls.do(self._sql.page(prefix, start_after)))
        while page:
            yield from page
            more = len(page) == PAGE_KEYS
            page = run(self._calls.do(self._sql.page(prefix, page[-1]))) if more else []

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), by the server's clock."""
        run(self._calls.with_ttl(self._sql.set_with_ttl(key, value, ttl), 1))

    @forgetful
    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, in one transaction: all of them or none."""
        run(self._calls.with_ttl(self._sql.set_many(items, ttl), len(items)))

    def purge(self) -> int:
        """Delete the rows of expired values, and return how many there were.

        Only for the space: they read as absent before. Rows that somebody else is writing at that
        moment are left to the next purge.
        """
        return run(self._calls.purge())

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of threads, processes and machines exactly one wins; in a transaction the
        others wait until it ends. ``ttl`` in seconds, or None.
        """
        call = self._sql.set_if_absent(key, value, ttl)
        return run(self._calls.with_ttl(call, ttl is not None))

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        return run(self._calls.do(self._sql.get_versioned(key)))

    @forgetful
    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` in seconds, or None for no end. A value set to the same bytes again, or deleted
        and set again, has another token.
        """
        call = self._sql.set_if_version(key, value, token, ttl)
        return run(self._calls.with_ttl(call, ttl is not None))

    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        return run(self._calls.do(self._sql.delete_if_version(key, token)))
