"""How a call is carried to PostgreSQL, written once for both twins.

A generator makes each call of psycopg and yields what it returned: of the sync classes the result,
of the async ones something to await. ``run`` and ``arun`` are the two who know which.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from kvcodec.backends.postgres_faults import NoTable, Overtaken, fault_of, lives, unusable
from kvcodec.backends.postgres_place import Sharing
from kvcodec.backends.postgres_statements import PURGE_ROWS, Call, Statements
from kvcodec.errors import BackendError, ConfigError, Unavailable

__all__ = ["Calling", "OnConnection", "OnOwnPool", "OnPool", "Steps", "arun", "run"]

R = TypeVar("R")

Steps: TypeAlias = Generator[Any, Any, R]

_IDLE: Final = TransactionStatus.IDLE
_INTRANS: Final = TransactionStatus.INTRANS

_BEGIN: Final = (b"begin", b"commit", b"rollback")
_SAVEPOINT: Final = (
    b"savepoint kvcodec",
    b"release kvcodec",
    b"rollback to kvcodec; release kvcodec",
)
"""What begins a block of statements, what ends it, and what takes it back."""

_KEPT_BYTES: Final = 16 * 1024
"""Of a value that a cursor was called with and may hold while nobody uses it."""


def run(steps: Steps[R]) -> R:
    """Run steps whose results are there."""
    try:
        done = next(steps)
        while True:
            done = steps.send(done)
    except StopIteration as end:
        result: R = end.value
        return result


async def arun(steps: Steps[R]) -> R:
    """Run steps whose results have to be awaited."""
    try:
        step = next(steps)
        while True:
            done, failure = None, None
            try:
                done = await step
            except BaseException as error:  # noqa: BLE001 - for the steps, that put things back
                failure = error
            # Not in the block above: what the steps raise in its place shall not have it behind.
            step = steps.send(done) if failure is None else steps.throw(failure)
    except StopIteration as end:
        result: R = end.value
        return result


class Carrier(Protocol):
    """Runs a call somewhere, and says what an error means."""

    def run(self, call: Call[R], /) -> Steps[R]: ...

    def may_purge(self) -> bool: ...

    def close(self) -> Steps[None]: ...


class Calling:
    """The calls of a KV: those that take more than one statement, and what is done at first use."""

    def __init__(self, carrier: Carrier, sql: Statements, shared: Sharing) -> None:
        self._carrier = carrier
        self._sql = sql
        self._shared = shared

    def do(self, call: Call[R]) -> Steps[R]:
        """Run a call; make the table if it is not there."""
        try:
            return (yield from self._carrier.run(call))
        except NoTable:
            pass
        except Overtaken:
            if call.lost is None:
                raise
            return call.lost
        yield from self.create_table()
        return (yield from self._carrier.run(call))

    def create_table(self) -> Steps[None]:
        """Make what is not there, and ask for no right to make what is."""
        schema, table = yield from self._carrier.run(self._sql.look())
        if not table:
            yield from self._carrier.run(self._sql.create(with_schema=not schema))

    def purge(self) -> Steps[int]:
        """Delete expired rows until there are none."""
        total = count = yield from self.do(self._sql.purge())
        while count == PURGE_ROWS:
            count = yield from self.do(self._sql.purge())
            total += count
        return total

    def with_ttl(self, call: Call[R], values: int) -> Steps[R]:
        """Run a call that writes so many values with a ttl; purge now and then."""
        done = yield from self.do(call)
        if values and self._carrier.may_purge():
            # The write is done and must not fail for this; a later one purges.
            with suppress(BackendError):
                for _ in range(self._shared.due(values)):
                    yield from self.do(self._sql.purge())
        return done

    def close(self) -> Steps[None]:
        """Close what is kvcodec's own."""
        yield from self._carrier.close()


class Session:
    """A connection, and cursors of it that nobody uses, each for the next call of its statement.

    One that is new looks up first how parameters are sent and how columns are read, which takes
    longer than the rest of a ``get``.
    """

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self._cursors: dict[bytes, Any] = {}

    def execute(self, call: Call[R]) -> Steps[R]:
        """Run a call's statements."""
        cursor = self._cursors.pop(call.sql, None) or _cursor(self.conn)
        rows: list[Any] = []
        changed = 0
        for group in call.groups:
            if not group:
                yield cursor.execute(call.sql, prepare=False)  # it may be several statements
            else:
                yield cursor.execute(call.sql, group, binary=True)
            if call.writes:
                changed += cursor.rowcount
            else:
                rows += yield cursor.fetchall()
                cursor.pgresult.clear()  # or it would hold them until the next call
        if call.key is not None and not (call.writes and _is_large(call.groups[0])):
            self._cursors[call.sql] = cursor
        return call.answer(rows, changed)

    def execute_by_itself(self, call: Call[R]) -> Steps[R]:
        """Run a call's statements where each commits by itself: in a transaction, if several."""
        if call.writes and len(call.groups) > 1:
            return self.execute_as_one(call, _BEGIN)
        return self.execute(call)

    def execute_as_one(self, call: Call[R], block: tuple[bytes, bytes, bytes]) -> Steps[R]:
        """Run a call's statements, all of them or none."""
        begin, end, back = block
        cursor, done = _cursor(self.conn), False
        yield cursor.execute(begin, prepare=False)
        try:
            result = yield from self.execute(call)
            done = True
        finally:
            if not done and not self.conn.closed:
                yield cursor.execute(back, prepare=False)
        yield cursor.execute(end, prepare=False)
        return result


def _cursor(conn: Any) -> Any:
    """Return a cursor of kvcodec's own kind: those of the user may be of any."""
    kind: Any = psycopg.Cursor if isinstance(conn, psycopg.Connection) else psycopg.AsyncCursor
    return kind(conn, row_factory=tuple_row)


def _is_large(row: tuple[object, ...]) -> bool:
    """Say whether a cursor that was called with a row is not to hold on to it."""
    return any(isinstance(part, bytes) and len(part) > _KEPT_BYTES for part in row)


class OnPool:
    """A pool: each call on a connection of its own, in a transaction of its own."""

    def __init__(self, pool: Any) -> None:
        self.pool: Any = pool
        self._sessions: dict[Any, Session] = {}

    def run(self, call: Call[R]) -> Steps[R]:
        """Run a call on a connection that is borrowed for it."""
        conn = yield from self._borrow(call)
        autocommit = conn.autocommit
        try:
            if not autocommit:
                # A statement that commits by itself is one round trip instead of three.
                yield conn.set_autocommit(True)
            return (yield from self._session(conn).execute_by_itself(call))
        except psycopg.Error as error:
            fault = fault_of(error, call, unsure=call.writes)
        finally:
            yield from self._give_back(conn, autocommit=autocommit)
        raise fault

    def may_purge(self) -> bool:
        """Say yes: nothing is held for longer than a statement."""
        return True

    def close(self) -> Steps[None]:
        """Leave the pool open: it is the user's."""
        yield from ()

    def _session(self, conn: Any) -> Session:
        session = self._sessions.get(conn)
        if session is None:
            for other in [*self._sessions]:  # whom the pool has replaced
                if other.closed:
                    self._sessions.pop(other, None)
            session = self._sessions[conn] = Session(conn)
        return session

    def _borrow(self, call: Call[Any]) -> Steps[Any]:
        # Those that the server has left are put back, and the pool replaces them: one each at most.
        pool = self.pool
        try:
            for _ in range(pool.max_size + 1):
                conn = yield pool.getconn()
                if lives(conn):
                    return conn
                yield pool.putconn(conn)
        except psycopg.Error as error:
            fault = fault_of(error, call, unsure=False)
        else:
            fault = Unavailable("every connection of the pool was broken", stage="store")
        raise fault

    def _give_back(self, conn: Any, *, autocommit: bool) -> Steps[None]:
        if conn.autocommit != autocommit and not conn.closed:
            idle = conn.pgconn.transaction_status == _IDLE
            # Interrupted in a statement: nobody else shall have it.
            yield conn.set_autocommit(autocommit) if idle else conn.close()
        yield self.pool.putconn(conn)


class OnOwnPool(OnPool):
    """A pool that ``from_url`` made: opened at first use, and made anew in a forked child."""

    def __init__(self, make: Callable[[], Any], loop: Callable[[], object]) -> None:
        super().__init__(make())
        self._make = make
        self._loop = loop
        self._making = threading.Lock()
        self._opened_in: tuple[int, object] | None = None
        self._closed = False

    def close(self) -> Steps[None]:
        """Close the pool, for good."""
        self._closed = True
        yield self.pool.close()

    def _borrow(self, call: Call[Any]) -> Steps[Any]:
        if self._closed:
            raise Unavailable("this KV is closed", stage="store")
        here = (os.getpid(), self._loop())
        if here != self._opened_in:
            yield from self._open(here)
        return (yield from super()._borrow(call))

    def _open(self, here: tuple[int, object]) -> Steps[None]:
        with self._making:
            before = self._opened_in or here
            if before[0] != here[0]:
                # The parent's pool and its connections stay the parent's.
                self.pool: Any = self._make()
                self._opened_in = None
            elif before != here:
                raise ConfigError(
                    "this KV is in use in another event loop: open its URL in each", stage="store"
                )
        yield self.pool.open()
        self._opened_in = here


class OnConnection:
    """A connection of the user, and the transaction that it may be in."""

    def __init__(self, conn: Any, lock: Any) -> None:
        self._conn = conn
        self._session = Session(conn)
        self._lock = lock

    def run(self, call: Call[R]) -> Steps[R]:
        """Run a call, one at a time: two would get into each other's savepoints."""
        conn, inside = self._conn, False
        yield self._lock.acquire()
        try:
            status = conn.pgconn.transaction_status
            problem = unusable(conn, status)
            if problem is not None:
                raise problem
            inside = status == _INTRANS
            return (yield from self._steps(call, inside=inside))
        except psycopg.Error as error:
            # What is part of a transaction is gone with the connection.
            unsure = call.writes and conn.autocommit and not inside
            fault = fault_of(error, call, unsure=unsure)
        finally:
            self._lock.release()
        raise fault

    def may_purge(self) -> bool:
        """Say whether what is purged would be committed at once, and nothing else wait for it."""
        return bool(self._conn.autocommit) and self._conn.pgconn.transaction_status == _IDLE

    def close(self) -> Steps[None]:
        """Leave the connection open: it is the user's."""
        yield from ()

    def _steps(self, call: Call[R], *, inside: bool) -> Steps[R]:
        if inside:
            return self._session.execute_as_one(call, _SAVEPOINT)
        if not self._conn.autocommit:
            return self._begin(call)
        return self._session.execute_by_itself(call)

    def _begin(self, call: Call[R]) -> Steps[R]:
        """Run the first call of a transaction that psycopg begins by itself."""
        conn, done = self._conn, False
        try:
            result = yield from self._session.execute(call)
            done = True
        finally:
            if not done and not conn.closed:
                yield conn.rollback()  # nothing else is in it
        return result
