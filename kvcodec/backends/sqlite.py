"""A KV in one SQLite file: no server, no dependency, safe across threads, processes and forks.

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

Connections are pooled: an operation takes an idle one and puts it back, so no two threads ever
share one at the same time, there are only as many as there were threads at work at once, and a
thread that ends leaves nothing behind.

A connection must not cross a fork, and it is not enough to leave it alone in the child: SQLite
remembers, per file and process, which locks it holds, the child inherits the memory but not the
locks, and the log may be deleted under a child that opens the file again (an acknowledged write
was lost in such an experiment). So every connection is closed before a fork and opened again
after it, by ``os.register_at_fork``.
"""

# ruff: noqa: S608 - statements are put together from constants of this file, once

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import sqlite3
import threading
import time
import traceback
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar, TypeVarTuple

from kvcodec.errors import (
    BackendError,
    ConfigError,
    KeyNameError,
    LimitExceeded,
    OutcomeUnknown,
    QuotaExceeded,
    Unavailable,
)
from kvcodec.protocols import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from kvcodec.protocols import Token

__all__ = ["SQLiteKV"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

PAGE_KEYS: Final = 256
"""Keys per page of a listing (about 0.1 ms): no read is open between two pages."""

_SYNCHRONOUS: Final = {"process": "NORMAL", "full": "FULL"}
"""https://sqlite.org/pragma.html#pragma_synchronous: with a write-ahead log, NORMAL may lose the
last commits when the power fails (never when the process does); FULL syncs at every commit."""

_IN_SIZES: Final = (1, 4, 16, 64, 256)
"""Numbers of variables in one ``in (...)``. A few sizes, filled up with a key that is asked for
anyway, so that their prepared statements are reused; below 999, the lowest default limit
(SQLITE_MAX_VARIABLE_NUMBER before 3.32)."""

_ROW_BYTES: Final = 65_536
"""Of SQLite's limit on a row (SQLITE_MAX_LENGTH), what is kept for the key and the header."""

_PURGE_EVERY: Final = 256
"""Writes with a ttl between two purges. One purge removes up to ``_PURGE_ROWS``, more than were
written meanwhile, so expired rows cannot pile up; and it is bounded, so no write waits long."""

_PURGE_ROWS: Final = 1_024
"""Rows that one statement of a purge deletes, so that other writers are let in between."""

_FORK_SECONDS: Final = 5.0
"""How long a fork waits for operations of other threads to end, so that it finds no connection
open. An operation takes microseconds, unless it waits for a lock."""

_SET_UP: Final = (
    """create table if not exists kv(
        id integer primary key, k text not null unique, rev integer not null, exp real,
        v blob not null)""",
    # Partial: a write without ttl does not touch it, and a purge reads nothing but expired rows.
    "create index if not exists kv_exp on kv(exp) where exp is not null",
    # Fails at once, and not at the first write, on a file with another table of this name.
    "select id, k, rev, exp, v from kv limit 0",
)

_GET: Final = "select v, exp from kv where k = ?"
_SET: Final = """insert into kv(k, rev, exp, v) values (?, random(), null, ?)
    on conflict(k) do update set rev = excluded.rev, exp = null, v = excluded.v"""
_SET_TTL: Final = """insert into kv(k, rev, exp, v) values (?, random(), ?, ?)
    on conflict(k) do update set rev = excluded.rev, exp = excluded.exp, v = excluded.v"""
_ADD: Final = f"{_SET_TTL} where kv.exp <= ?"
_DELETE: Final = "delete from kv where k = ?"
_LIVE: Final = "(exp is null or exp > ?)"
_EXISTS: Final = f"select 1 from kv where k = ? and {_LIVE}"
_GET_VERSION: Final = f"select v, rev from kv where k = ? and {_LIVE}"
_SET_VERSION: Final = f"""update kv set rev = random(), exp = ?, v = ?
    where k = ? and rev = ? and {_LIVE}"""
_DELETE_VERSION: Final = f"delete from kv where k = ? and rev = ? and {_LIVE}"
_GET_MANY: Final = {
    size: f"select k, v from kv where {_LIVE} and k in ({', '.join('?' * size)})"
    for size in _IN_SIZES
}
_PAGE: Final = f"""select k from kv where k >= ? and k < cast(? as text) and {_LIVE}
    order by k limit {PAGE_KEYS}"""
_ANY_EXPIRED: Final = "select 1 from kv where exp <= ? limit 1"
_PURGE: Final = f"""delete from kv where id in (
    select id from kv where exp <= ? order by exp limit {_PURGE_ROWS})"""


def _forgetful(method: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
    """Empty the frames of a failed write, which hold the value, before its error travels on."""

    @functools.wraps(method)
    def write(*arguments: *Ts) -> R:
        try:
            return method(*arguments)
        except BaseException as error:
            del arguments
            traceback.clear_frames(error.__traceback__)
            raise

    return write


class SQLiteKV:
    """Keeps values in a SQLite file: durable, ordered, safe across threads, processes and forks.

    ``path``: the file, made with mode 0600 if it is not there (its directory must be). It must be
    on a local file system, because the write-ahead log needs shared memory. Two files beside it
    (``-wal``, ``-shm``) belong to it.

    ``durability``: ``"process"``: what ``set`` has returned from survives a kill of the process;
    a power failure may take the last writes, never more. ``"full"``: it survives a power failure,
    for one disk sync per write.

    ``clock``: seconds since the epoch, as ``time.time``; asked only where a ttl is concerned.
    ``timeout``: seconds to wait for another writer's lock, then Unavailable is raised.

    An expired value reads as absent. Its row is deleted by the next write, by ``purge``, or by
    one of the writes with a ttl, which purge now and then.

    Every method may raise Unavailable (locked for too long, damaged, not a database, closed; not
    applied) and KeyNameError (a key with a lone surrogate, which UTF-8 cannot hold). Those that
    write: QuotaExceeded (the disk is full; not stored), LimitExceeded (value or row over SQLite's
    limit), OutcomeUnknown (the disk failed during the write), TypeError (a value that is not
    bytes-like). The constructor: ConfigError for an option that cannot work, Unavailable for a
    file that cannot be opened.
    """

    ordered: bool = True
    """``scan_keys`` yields keys in the order of their UTF-8 bytes."""

    limits: Limits
    """SQLite's own limit on a value, nearly 10**9 bytes unless it was built with another."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["process", "full"] = "process",
        clock: Callable[[], float] = time.time,
        timeout: float = 10.0,
    ) -> None:
        self._connections = _Connections(
            _database_path(path), _checked_durability(durability), _checked_timeout(timeout)
        )
        self._clock = clock
        self._ttl_writes = itertools.count()
        idle = self._connections.idle
        cursor = self._connections.take(idle)
        self._longest = cursor.connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - _ROW_BYTES
        self._connections.give_back(idle, cursor)
        self.limits = Limits(value_bytes=self._longest)

    def __repr__(self) -> str:
        return f"SQLiteKV({self._connections.path!r}, durability={self._connections.durability!r})"

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
        """Close the file. Operations that are under way end as they would; later ones raise.

        Closing twice is no error.
        """
        self._connections.close()

    # ------------------------------------------------------------------------ the three methods

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        # Written out, not built from _read: this is what is measured against sqlite3's own lines.
        connections = self._connections
        idle = connections.idle
        try:
            cursor = idle.pop()
        except IndexError:
            cursor = None
        if cursor is None:
            cursor = connections.opened()
        try:
            row = cursor.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._fault(error, key) from error
        except UnicodeEncodeError as error:
            reason = error.reason
        else:
            if row is None or (row[1] is not None and row[1] <= self._clock()):
                return None
            value: bytes = row[0]
            return value
        finally:
            idle.append(cursor)
            if idle is not connections.idle:
                connections.close_idle(idle)
        raise _unnameable(key, reason)

    @_forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        self._write(_SET, (key, self._checked(value, key)), key)

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        self._write(_DELETE, (key,), key)

    # --------------------------------------------------------------------- exists, many, scan

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return bool(self._read(_EXISTS, (key, self._clock()), key))

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: keys are read in groups, and writes between two groups are seen.
        """
        now = self._clock()
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _IN_SIZES[-1]):
            group = keys[start : start + _IN_SIZES[-1]]
            size = next(size for size in _IN_SIZES if size >= len(group))
            filler = (group[0],) * (size - len(group))
            found.update(self._read(_GET_MANY[size], (now, *group, *filler), None))
        return {key: found[key] for key in keys if key in found}

    @_forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, in one transaction: all of them or none. Ends their ttls."""
        self._write_all(_SET, [(key, self._checked(value, key)) for key, value in items.items()])

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, in one transaction: all of them or none. Absent ones are no error."""
        self._write_all(_DELETE, [(key,) for key in keys])

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in the order of their UTF-8 bytes.

        With ``start_after`` only keys greater than it. Keys are read a page at a time: between
        two of them nothing is held open, so the caller may write, and take as long as it likes.
        Keys that are written or deleted meanwhile may or may not be seen; every other key is,
        exactly once.
        """
        page = self.page_keys(prefix, start_after)
        while page:
            yield from page
            page = self.page_keys(prefix, page[-1]) if len(page) == PAGE_KEYS else []

    def page_keys(self, prefix: str, start_after: str = "", /) -> list[str]:
        """Return the first ``PAGE_KEYS`` (256) keys of ``scan_keys``, or what there are."""
        # The successor of a text in this order is the text with a NUL. Texts of Python compare by
        # code points, which is the order of their UTF-8 bytes.
        lowest = max(prefix, start_after + "\0") if start_after else prefix
        try:
            # 0xFF is in no UTF-8 text, so this is above everything that starts with the prefix.
            above = prefix.encode() + b"\xff"
        except UnicodeEncodeError as error:
            reason = error.reason
        else:
            rows = self._read(_PAGE, (lowest, above, self._clock()), start_after)
            return [key for (key,) in rows]
        raise _unnameable(prefix, reason)

    # -------------------------------------------------------------------------------- lifetimes

    @_forgetful
    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), by the injected clock."""
        self._write(_SET_TTL, (key, self._expiry(ttl), self._checked(value, key)), key)
        self._purge_sometimes(ttl)

    def purge(self) -> int:
        """Delete the rows of expired values, and return how many there were.

        Only for the space: they read as absent before. The file does not shrink, new values take
        their place.
        """
        total = 0
        while count := self._purge_some():
            total += count
        return total

    # ------------------------------------------------------------------- claims, compare-and-set

    @_forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of threads and processes exactly one wins. ``ttl`` in seconds, or None.
        """
        row = (key, self._expiry(ttl), self._checked(value, key), self._clock())
        added = self._write(_ADD, row, key) == 1
        self._purge_sometimes(ttl)
        return added

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        rows: list[tuple[bytes, Token]] = self._read(_GET_VERSION, (key, self._clock()), key)
        return rows[0] if rows else None

    @_forgetful
    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` in seconds, or None for no end. A value set to the same bytes again, or deleted
        and set again, has another token.
        """
        row = (self._expiry(ttl), self._checked(value, key), key, token, self._clock())
        done = self._write(_SET_VERSION, row, key) == 1
        self._purge_sometimes(ttl)
        return done

    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        return self._write(_DELETE_VERSION, (key, token, self._clock()), key) == 1

    # ------------------------------------------------------------------------ running statements

    def _read(self, sql: str, parameters: tuple[object, ...], key: str | None) -> list[Any]:
        idle = self._connections.idle
        cursor = self._connections.take(idle)
        try:
            return cursor.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error, key) from error
        except UnicodeEncodeError as error:
            reason, name = error.reason, error.object
        finally:
            self._connections.give_back(idle, cursor)
        raise _unnameable(name, reason)

    def _write(self, sql: str, parameters: tuple[object, ...], key: str | None) -> int:
        """Run one statement, which is one transaction, and return how many rows it changed."""
        idle = self._connections.idle
        cursor = self._connections.take(idle)
        try:
            return cursor.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise self._fault(error, key, writing=True) from error
        except UnicodeEncodeError as error:
            reason, name = error.reason, error.object
        finally:
            self._connections.give_back(idle, cursor)
        raise _unnameable(name, reason)

    def _write_all(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run a statement for every row, in one transaction."""
        idle = self._connections.idle
        cursor = self._connections.take(idle)
        try:
            # Immediate: a transaction that reads first and then asks for the lock can be refused
            # without waiting, because what it read may be outdated.
            cursor.execute("begin immediate")
            cursor.executemany(sql, rows)
            cursor.execute("commit")
        except sqlite3.Error as error:
            raise self._fault(error, None, writing=True) from error
        except UnicodeEncodeError as error:
            reason, name = error.reason, error.object
        else:
            return
        finally:
            if cursor.connection.in_transaction:
                self._connections.discard(cursor.connection)  # closing rolls back, and cannot fail
            else:
                self._connections.give_back(idle, cursor)
        raise _unnameable(name, reason)

    def _checked(self, value: bytes, key: str) -> bytes:
        data = value if type(value) is bytes else bytes(memoryview(value))
        if len(data) > self._longest:
            raise LimitExceeded(
                f"a value of {len(data)} bytes; SQLite takes up to {self._longest}. Nothing was"
                " written.",
                found=len(data),
                limit=self._longest,
                raw_key=key,
                stage="store",
            )
        return data

    def _expiry(self, ttl: float | None) -> float | None:
        if ttl is None:
            return None
        if not 0 < ttl < math.inf:
            raise ConfigError("a ttl is a number of seconds above 0, and finite")
        return self._clock() + ttl

    def _purge_some(self) -> int:
        now = self._clock()
        # Asked first, because a DELETE takes the lock of the writer even if it finds nothing.
        if not self._read(_ANY_EXPIRED, (now,), None):
            return 0
        return self._write(_PURGE, (now,), None)

    def _purge_sometimes(self, ttl: float | None) -> None:
        # By writes with a ttl, so that only who uses them pays; by the first of an instance too,
        # because a process per request never comes to the 256th.
        if ttl is None or next(self._ttl_writes) % _PURGE_EVERY:
            return
        # The write that called is done and must not fail for this; a later one purges.
        with contextlib.suppress(BackendError):
            self._purge_some()

    def _fault(self, error: sqlite3.Error, key: str | None, *, writing: bool = False) -> Exception:
        """Return what an error of sqlite3, which holds no value, means to the caller."""
        connections = self._connections
        code = _code(error)
        reason = f"{connections.path}: {error}"
        if code == sqlite3.SQLITE_FULL:
            return QuotaExceeded(reason, possibly_stored=False, raw_key=key, stage="store")
        if code == sqlite3.SQLITE_TOOBIG:
            return LimitExceeded(reason, limit=self._longest, raw_key=key, stage="store")
        if code == sqlite3.SQLITE_IOERR and writing:
            # A sync that failed: the commit may be in the log, and be found there after a crash.
            return OutcomeUnknown(reason, raw_key=key, stage="store")
        return connections.unavailable(error, key)


# --------------------------------------------------------------------------------- connections


class _Connections:
    """The open connections of one file: taken by an operation, then given back.

    ``idle`` is a list because ``pop`` and ``append`` of a list are atomic. It is replaced by
    another list to say that its connections are to be closed: whoever gives one back to a list
    that is no longer ``idle`` closes it. So closing never touches a connection in use, which
    could crash the interpreter, and an operation takes no lock.
    """

    creating: ClassVar = threading.RLock()
    """Held while a file is created: see ``_create``."""

    def __init__(self, path: str, durability: str, timeout: float) -> None:
        self.path = path
        self.durability = durability
        self.timeout = timeout
        self.idle: list[sqlite3.Cursor] = []
        self._open: set[sqlite3.Connection] = set()
        # Reentrant, because a signal handler or a finaliser may use the KV in mid-operation.
        self._gate = threading.RLock()
        self._closed = False
        with self.creating:  # no other thread may be reading the set in a fork's preparation
            _LIVING.add(self)

    def __del__(self) -> None:
        self.close()

    def take(self, idle: list[sqlite3.Cursor]) -> sqlite3.Cursor:
        """Return a cursor on a connection that nobody else uses."""
        with contextlib.suppress(IndexError):
            return idle.pop()
        return self.opened()  # not in an except block: its errors are chained to no IndexError

    def give_back(self, idle: list[sqlite3.Cursor], cursor: sqlite3.Cursor) -> None:
        """Let others use the connection of ``cursor``, which was taken from ``idle``."""
        idle.append(cursor)
        if idle is not self.idle:
            self.close_idle(idle)

    def opened(self) -> sqlite3.Cursor:
        """Open one more connection and return its cursor."""
        with self._gate:
            if self._closed:
                raise Unavailable(f"{self.path} was closed by this SQLiteKV", stage="store")
            if self.path in _INHERITED:
                raise Unavailable(
                    f"{self.path} was in use by another thread when this process was forked, and"
                    " SQLite cannot open it here again: fork before threads use it",
                    stage="store",
                )
            try:
                _create(self.path)
                connection = _opened(self)
            except (sqlite3.Error, OSError) as error:
                raise self.unavailable(error, None) from error
            self._open.add(connection)
        return connection.cursor()

    def close(self) -> None:
        """Close what is idle now, the rest when it is given back, and open none any more."""
        with self._gate:
            self._closed = True
            self._retire()

    def close_idle(self, idle: list[sqlite3.Cursor]) -> None:
        """Close the connections of ``idle``."""
        while idle:
            # Two threads may be here: the one that closes, and the one that gives back.
            with contextlib.suppress(IndexError):
                self.discard(idle.pop().connection)

    def discard(self, connection: sqlite3.Connection) -> None:
        """Close a connection that is not idle; a transaction that is open in it is rolled back."""
        connection.close()
        self._open.discard(connection)

    def unavailable(self, error: sqlite3.Error | OSError, key: str | None) -> Unavailable:
        """Return the error of an operation that was not applied."""
        reason = str(error)
        if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_BUSY:
            reason = f"locked by another writer for over {self.timeout} s"
        return Unavailable(f"{self.path}: {reason}", raw_key=key, stage="store")

    def pause(self) -> None:
        """Before a fork: close every connection, and open none until it is done."""
        self._gate.acquire()
        self._retire()
        deadline = time.monotonic() + _FORK_SECONDS
        while self._open and time.monotonic() < deadline:
            time.sleep(0.0001)

    def resume(self) -> None:
        """After a fork, in the parent."""
        self._gate.release()

    def renew(self) -> None:
        """After a fork, in the child: let go of what may not be touched here."""
        self._gate = threading.RLock()
        self.idle = []
        if self._open:
            _INHERITED.setdefault(self.path, []).extend(self._open)
            self._open = set()

    def _retire(self) -> None:
        idle, self.idle = self.idle, []
        self.close_idle(idle)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's error code without its extended part; 0 for errors of the module itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


# ------------------------------------------------------------------------------ opening a file


def _database_path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if text == ":memory:" or not text:
        raise ConfigError(
            f"SQLiteKV keeps a file, not {text!r}: every connection would see a database of its"
            " own. Use MemoryKV."
        )
    if "\0" in text:
        raise ConfigError("the path of a database cannot contain NUL")
    # Absolute: later connections must find the same file after a change of directory.
    file = Path(text).absolute()
    if not file.parent.is_dir():
        raise ConfigError(f"the directory of {file} does not exist; create it first")
    return str(file)


def _checked_durability(durability: str) -> str:
    if durability not in _SYNCHRONOUS:
        raise ConfigError(f"durability is 'process' or 'full', not {durability!r}")
    return durability


def _checked_timeout(timeout: float) -> float:
    if not timeout >= 0:
        raise ConfigError(f"timeout is a number of seconds from 0 up, not {timeout!r}")
    return timeout


def _create(path: str) -> None:
    """Make the file readable by its owner only, because it may hold tokens."""
    # Never opened if it is there: closing a descriptor of a file drops every lock that this
    # process holds on it, those of SQLite too (https://sqlite.org/howtocorrupt.html, 2.2). Under
    # a lock, so that no other thread opens it while this one is about to close it.
    with _Connections.creating, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _opened(settings: _Connections) -> sqlite3.Connection:
    connection = sqlite3.connect(
        settings.path,
        timeout=settings.timeout,
        isolation_level=None,  # transactions begin where this file says so
        check_same_thread=False,  # one thread at a time, but not always the same
    )
    try:
        _set_up(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, settings: _Connections) -> None:
    connection.execute("pragma page_size = 8192")  # before the log; no effect on an existing file
    if _switched_to_log(connection, settings.timeout) != "wal":
        raise Unavailable(
            f"{settings.path}: no write-ahead log possible here (a network file system?)",
            stage="store",
        )
    connection.execute(f"pragma synchronous = {_SYNCHRONOUS[settings.durability]}")
    (encoding,) = connection.execute("pragma encoding").fetchone()
    if encoding != "UTF-8":
        raise ConfigError(f"{settings.path} is in {encoding}, where keys sort in another order")
    for sql in _SET_UP:
        connection.execute(sql)


def _switched_to_log(connection: sqlite3.Connection, timeout: float) -> str:
    """Return the journal mode that the file has after asking for a write-ahead log."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            mode: str = connection.execute("pragma journal_mode = wal").fetchone()[0]
        except sqlite3.OperationalError as error:
            # SQLite does not wait here: of several that switch a new file at once, some are
            # refused at once (4 of 1200 opens by 20 threads), so the waiting is done by hand.
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return mode
        time.sleep(0.001)


def _unnameable(key: str, reason: str) -> KeyNameError:
    return KeyNameError(f"the key has no UTF-8: {reason}", raw_key=key, stage="name")


# --------------------------------------------------------------------------------------- forks

_LIVING: Final[weakref.WeakSet[_Connections]] = weakref.WeakSet()
_PAUSED: Final[list[_Connections]] = []

_INHERITED: Final[dict[str, list[sqlite3.Connection]]] = {}
"""Connections that a child found open, by path: kept, because closing one here could roll back in
shared memory what the parent is writing. Only where a thread did not finish within
``_FORK_SECONDS``, or where a host forks without telling Python before."""


def _before_fork() -> None:
    with _Connections.creating:
        _PAUSED[:] = list(_LIVING)
    for connections in _PAUSED:
        connections.pause()
    _Connections.creating.acquire()  # after the gates, as whoever opens a file takes them


def _after_in_parent() -> None:
    _Connections.creating.release()
    for connections in _PAUSED:
        connections.resume()
    _PAUSED.clear()


def _after_in_child() -> None:
    _Connections.creating = threading.RLock()
    _PAUSED.clear()
    for connections in list(_LIVING):
        connections.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_in_parent,
        after_in_child=_after_in_child,
    )
