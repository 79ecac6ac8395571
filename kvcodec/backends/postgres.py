"""A KV in one table of a PostgreSQL database, over a pool, a connection or a URL."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from kvcodec.backends.postgres_faults import NoTable, Overtaken, fault_of, lives, unusable
from kvcodec.backends.postgres_place import PostgresTable, checked_url, sharing
from kvcodec.backends.postgres_statements import (
    LIMITS,
    PAGE_KEYS,
    PURGE_ROWS,
    Call,
    statements,
)
from kvcodec.errors import BackendError, Unavailable, forgetful

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from kvcodec.protocols import Token

__all__ = ["PostgresKV"]

R = TypeVar("R")

_IDLE: Final = TransactionStatus.IDLE
_INTRANS: Final = TransactionStatus.INTRANS


class PostgresKV(PostgresTable):
    """Keeps values in a table of PostgreSQL (13 or later), for any number of processes.

    ``handle``: a ``psycopg_pool.ConnectionPool`` or a ``psycopg.Connection``, which stay yours to
    close; ``from_url`` makes a pool of its own. ``table`` and ``schema``: where the values are
    (the first schema of the search path, if there is none). The table is made at first use, by
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
    or cancelled; not applied), ConfigError (no right to the table, or it is not kvcodec's),
    KeyNameError (a key with a lone surrogate, which UTF-8 cannot hold) and LimitExceeded (a key
    or value over ``limits``; nothing was sent). Those that write: OutcomeUnknown (the connection
    broke while a statement was under way, outside of a transaction), Conflict (a deadlock, or a
    transaction of REPEATABLE READ or SERIALIZABLE that was overtaken; not applied), QuotaExceeded
    (the disk is full), TypeError (a value that is not bytes-like). The constructor: ConfigError
    for a name that is none.
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
        self._carrier: _Carrier
        if isinstance(handle, psycopg.Connection):
            self._carrier = _OnConnection(handle, self._shared.lock)
        else:
            self._carrier = _OnPool(handle)

    @classmethod
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
        own = _OnOwnPool(pool)
        kv = cls(own.pool, table=table, schema=schema)
        kv._carrier = own
        return kv

    def __repr__(self) -> str:
        return f"PostgresKV(table={self._sql.name})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what ``from_url`` opened. A pool or connection of yours stays open.

        Closing twice is no error.
        """
        self._carrier.close()

    def create_table(self) -> None:
        """Make the table, and the schema, if they are not there."""
        schema, table = self._carrier.run(self._sql.look())
        if not table:
            self._carrier.run(self._sql.create(with_schema=not schema))

    # ------------------------------------------------------------------------ the three methods

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return self._run(self._sql.get(key))

    @forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        self._run(self._sql.set(key, value))

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        self._run(self._sql.delete(key))

    # --------------------------------------------------------------------- exists, many, scan

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return self._run(self._sql.exists(key))

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: keys are read in groups, and writes between two groups are seen.
        """
        return self._run(self._sql.get_many(keys))

    @forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, in one transaction: all of them or none. Ends their ttls."""
        self._run(self._sql.set_many(items, None))

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, in one transaction: all of them or none. Absent ones are no error."""
        self._run(self._sql.delete_many(keys))

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in the order of their UTF-8 bytes.

        With ``start_after`` only keys greater than it. Keys are read a page at a time: between
        two of them nothing is held open, so the caller may write, and take as long as it likes.
        Keys that are written or deleted meanwhile may or may not be seen; every other key is,
        exactly once.
        """
        page = self._run(self._sql.page(prefix, start_after))
        while page:
            yield from page
            more = len(page) == PAGE_KEYS
            page = self._run(self._sql.page(prefix, page[-1])) if more else []

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), by the server's clock."""
        self._run(self._sql.set_with_ttl(key, value, ttl))
        self._purge_sometimes(1)

    @forgetful
    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, in one transaction: all of them or none."""
        self._run(self._sql.set_many(items, ttl))
        self._purge_sometimes(len(items))

    def purge(self) -> int:
        """Delete the rows of expired values, and return how many there were.

        Only for the space: they read as absent before. Rows that somebody else is writing at that
        moment are left to the next purge.
        """
        total = count = self._run(self._sql.purge())
        while count == PURGE_ROWS:
            count = self._run(self._sql.purge())
            total += count
        return total

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of threads, processes and machines exactly one wins; in a transaction the
        others wait until it ends. ``ttl`` in seconds, or None.
        """
        won = self._run(self._sql.set_if_absent(key, value, ttl))
        self._purge_sometimes(ttl is not None)
        return won

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        return self._run(self._sql.get_versioned(key))

    @forgetful
    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` in seconds, or None for no end. A value set to the same bytes again, or deleted
        and set again, has another token.
        """
        done = self._run(self._sql.set_if_version(key, value, token, ttl))
        self._purge_sometimes(ttl is not None)
        return done

    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        return self._run(self._sql.delete_if_version(key, token))

    # ------------------------------------------------------------------------ running statements

    def _run(self, call: Call[R]) -> R:
        try:
            return self._carrier.run(call)
        except NoTable:
            pass
        except Overtaken:
            if call.lost is None:
                raise
            return call.lost
        self.create_table()
        return self._carrier.run(call)

    def _purge_sometimes(self, writes: int) -> None:
        if not self._carrier.may_purge():
            return
        # The write that called is done and must not fail for this; a later one purges.
        with suppress(BackendError):
            for _ in range(self._shared.due(writes)):
                self._run(self._sql.purge())


# ------------------------------------------------------------------------- what carries a call


class _Carrier(Protocol):
    """Runs a call, and says what an error means."""

    def run(self, call: Call[R], /) -> R: ...

    def may_purge(self) -> bool: ...

    def close(self) -> None: ...


def _executed(conn: Connection[Any], call: Call[R]) -> R:
    """Run a call on a connection. A cursor of its own: that of the user may be of any kind."""
    cursor = psycopg.Cursor(conn, row_factory=tuple_row)
    rows: list[Any] = []
    changed = 0
    for group in call.groups:
        cursor.execute(call.sql, group or None, binary=bool(group))
        if call.writes:
            changed += cursor.rowcount
        else:
            rows += cursor.fetchall()
    return call.answer(rows, changed)


class _OnPool:
    """A pool: each call on a connection of its own, in a transaction of its own."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool = pool

    def run(self, call: Call[R]) -> R:
        conn = self._borrowed(call)
        # One statement commits by itself, for one round trip instead of three.
        own = conn.autocommit
        try:
            if not own:
                conn.autocommit = True
            if len(call.groups) == 1 or not call.writes:
                return _executed(conn, call)
            with conn.transaction():
                return _executed(conn, call)
        except psycopg.Error as error:
            fault = fault_of(error, call, unsure=call.writes)
        finally:
            self._give_back(conn, autocommit=own)
        raise fault

    def may_purge(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the pool open: it is the user's."""

    def _borrowed(self, call: Call[Any]) -> Connection[Any]:
        # Those that the server has left are put back, and replaced by the pool: one each at most.
        pool = self.pool
        try:
            for _ in range(pool.max_size + 1):
                conn: Connection[Any] = pool.getconn()
                if lives(conn):
                    return conn
                pool.putconn(conn)
        except psycopg.Error as error:
            fault = fault_of(error, call, unsure=False)
        else:
            fault = Unavailable("every connection of the pool was broken", stage="store")
        raise fault

    def _give_back(self, conn: Connection[Any], *, autocommit: bool) -> None:
        if conn.autocommit != autocommit and not conn.closed:
            if conn.info.transaction_status == _IDLE:
                conn.autocommit = autocommit
            else:
                conn.close()  # interrupted: nobody else shall have it
        self.pool.putconn(conn)


class _OnOwnPool(_OnPool):
    """The pool of ``from_url``: opened at first use, and made anew in a forked child."""

    def __init__(self, make: Callable[[], ConnectionPool[Any]]) -> None:
        super().__init__(make())
        self._make = make
        self._pid = os.getpid()
        self._opening = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Close the pool, for good."""
        self._closed = True
        self.pool.close()

    def _borrowed(self, call: Call[Any]) -> Connection[Any]:
        if self.pool.closed or self._pid != os.getpid():
            self._open()
        return super()._borrowed(call)

    def _open(self) -> None:
        with self._opening:
            if self._pid != os.getpid():
                # The parent's pool and its connections stay the parent's.
                self.pool, self._pid = self._make(), os.getpid()
            if not self._closed:
                self.pool.open()


class _OnConnection:
    """A connection of the user, and the transaction that it may be in."""

    def __init__(self, conn: Connection[Any], lock: threading.Lock) -> None:
        self._conn = conn
        self._lock = lock

    def run(self, call: Call[R]) -> R:
        conn = self._conn
        with self._lock:
            problem = unusable(conn)
            if problem is not None:
                raise problem
            inside = conn.info.transaction_status == _INTRANS
            several = call.writes and len(call.groups) != 1
            try:
                if inside or (conn.autocommit and several):
                    with conn.transaction():
                        return _executed(conn, call)
                return _executed(conn, call) if conn.autocommit else self._begun(call)
            except psycopg.Error as error:
                unsure = call.writes and conn.autocommit and not inside
                fault = fault_of(error, call, unsure=unsure)
            raise fault

    def may_purge(self) -> bool:
        conn = self._conn
        return conn.autocommit and conn.info.transaction_status == _IDLE

    def close(self) -> None:
        """Leave the connection open: it is the user's."""

    def _begun(self, call: Call[R]) -> R:
        """Run the first call of a transaction that psycopg begins by itself."""
        try:
            return _executed(self._conn, call)
        except psycopg.Error:
            if not self._conn.closed:
                self._conn.rollback()  # nothing else is in it
            raise
