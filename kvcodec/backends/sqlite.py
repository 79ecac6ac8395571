"""A KV in one SQLite file: no server, no dependency, safe across threads, processes and forks."""

from __future__ import annotations

import contextlib
import itertools
import math
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from kvcodec.backends.closing import Closing
from kvcodec.backends.sqlite_pool import Connections, error_code
from kvcodec.backends.sqlite_statements import IN_SIZES, PAGE_KEYS
from kvcodec.errors import (
    BackendError,
    ConfigError,
    KeyNameError,
    LimitExceeded,
    OutcomeUnknown,
    forgetful,
)
from kvcodec.protocols import Limits

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from kvcodec.protocols import Token

__all__ = ["SQLiteKV"]

_ROW_BYTES: Final = 65_536
"""Of SQLite's limit on a row (SQLITE_MAX_LENGTH), what is kept for the key and the header."""

T = TypeVar("T")

_CHECK_EVERY: Final = 1_024
"""Reads of single values between two looks whether the file is still there; every write looks."""

_PURGE_EVERY: Final = 256
"""Writes with a ttl between two purges. One purge removes up to ``PURGE_ROWS``, more than were
written meanwhile, so expired rows cannot pile up; and it is bounded, so no write waits long."""


class SQLiteKV(Closing):
    """Keeps values in a SQLite file: durable, ordered, safe across threads, processes and forks.

    ``path``: the file, made with mode 0600 if it is not there (its directory must be). It must be
    on a local file system, because the write-ahead log needs shared memory. Two files beside it
    (``-wal``, ``-shm``) belong to it.

    ``durability``: ``"process"``: what ``set`` has returned from survives a kill of the process;
    a power failure may take the last writes, never more. ``"full"``: it survives a power failure,
    for one disk sync per write.

    ``clock``: seconds since the epoch, as ``time.time``; asked only where a ttl is concerned.
    ``timeout``: seconds to wait for another writer's lock, then Unavailable is raised. At most
    2,147,483 (nearly 25 days), the most that SQLite takes.
    ``table``: the table that holds the values, for a database that has a ``kv`` of its own.

    An expired value reads as absent. Its row is deleted by the next write, by ``purge``, or by
    one of the writes with a ttl, which purge now and then.

    Every method may raise Unavailable (locked for too long, damaged, not a database, closed, or
    removed or replaced by another file while it was open; not applied) and KeyNameError (a key
    with a lone surrogate, which UTF-8 cannot hold). Those that write: QuotaExceeded (the disk is
    full; not applied, and nothing can be deleted either), LimitExceeded (value or row over
    SQLite's limit), OutcomeUnknown (the disk failed during the write), TypeError (a value that is
    not bytes-like). The constructor: ConfigError for an option that cannot work or a table that
    is somebody else's, Unavailable for a file that cannot be opened. TypeError for a deep copy or
    a pickle: open the path again.
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
        table: str = "kv",
    ) -> None:
        self._connections = Connections(path, durability, timeout, table)
        self._sql = self._connections.statements
        self._clock = clock
        self._reads = itertools.count(1)
        self._ttl_writes = itertools.count()
        idle = self._connections.idle
        cursor = self._connections.take(idle)
        self._longest = cursor.connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - _ROW_BYTES
        self._connections.give_back(idle, cursor)
        self.limits = Limits(value_bytes=self._longest)

    def __repr__(self) -> str:
        try:
            here = self._connections
        except AttributeError:
            return "<SQLiteKV, refused>"  # in the traceback of its own constructor
        return f"SQLiteKV({here.path!r}, durability={here.durability!r})"

    def close(self) -> None:
        """Close the file. Operations that are under way end as they would; later ones raise.

        Closing twice is no error.
        """
        self._connections.close()

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return the file, the same for every handle on it, and the key's name in it."""
        return self._connections.identity, key

    # ------------------------------------------------------------------------ the three methods

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        # Written out, not built from _read: this is what is measured against sqlite3's own lines.
        connections = self._connections
        if not next(self._reads) % _CHECK_EVERY:
            connections.check()
        idle = connections.idle
        try:
            cursor = idle.pop()
        except IndexError:
            cursor = None
        if cursor is None:
            cursor = connections.opened()
        try:
            row = cursor.execute(self._sql.get, (key,)).fetchone()
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

    @forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        data = self._checked(value, key)
        self._write(self._sql.set, (key, data), key, len(data))

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        self._write(self._sql.delete, (key,), key)

    # --------------------------------------------------------------------- exists, many, scan

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return bool(self._read(self._sql.exists, (key, self._clock()), key))

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: keys are read in groups, and writes between two groups are seen.
        """
        found: dict[str, bytes] = dict(self._read_many(self._sql.get_many, keys))
        return {key: found[key] for key in keys if key in found}

    @forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, in one transaction: all of them or none. Ends their ttls."""
        rows = [(key, self._checked(value, key)) for key, value in items.items()]
        self._write_all(self._sql.set, rows, sum(len(data) for _, data in rows))

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, in one transaction: all of them or none. Absent ones are no error."""
        self._write_all(self._sql.delete, [(key,) for key in keys], 0)

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in the order of their UTF-8 bytes.

        With ``start_after`` only keys greater than it. Keys are read a page at a time: between
        two of them nothing is held open, so the caller may write, and take as long as it likes.
        Keys that are written or deleted meanwhile may or may not be seen; every other key is,
        exactly once.
        """
        page = self._page_keys(prefix, start_after)
        while page:
            yield from page
            page = self._page_keys(prefix, page[-1]) if len(page) == PAGE_KEYS else []

    def _page_keys(self, prefix: str, start_after: str = "", /) -> list[str]:
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
            rows = self._read(self._sql.page, (lowest, above, self._clock()), start_after)
            return [key for (key,) in rows]
        raise _unnameable(prefix, reason)

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), by the injected clock."""
        data = self._checked(value, key)
        self._write(self._sql.set_ttl, (key, self._expiry(ttl), data), key, len(data))
        self._purge_sometimes(ttl)

    @forgetful
    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, in one transaction: all of them or none."""
        end = self._expiry(ttl)
        rows = [(key, end, self._checked(value, key)) for key, value in items.items()]
        self._write_all(self._sql.set_ttl, rows, sum(len(data) for _, _, data in rows))
        self._purge_sometimes(ttl, len(rows))

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

    @forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of threads and processes exactly one wins. ``ttl`` in seconds, or None.
        """
        data = self._checked(value, key)
        row = (key, self._expiry(ttl), data, self._clock())
        added = self._write(self._sql.add, row, key, len(data)) == 1
        self._purge_sometimes(ttl)
        return added

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        sql = self._sql.get_version
        rows: list[tuple[bytes, Token]] = self._read(sql, (key, self._clock()), key)
        return rows[0] if rows else None

    def get_many_versioned(self, keys: Sequence[str], /) -> dict[str, tuple[bytes, Token]]:
        """Return the values that are there with their tokens. Not a snapshot, as ``get_many``."""
        rows = self._read_many(self._sql.get_many_versions, keys)
        return {key: (value, token) for key, value, token in rows}

    @forgetful
    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` in seconds, or None for no end. A value set to the same bytes again, or deleted
        and set again, has another token.
        """
        data = self._checked(value, key)
        row = (self._expiry(ttl), data, key, token, self._clock())
        done = self._write(self._sql.set_version, row, key, len(data)) == 1
        self._purge_sometimes(ttl)
        return done

    @forgetful
    def set_many_if_version(
        self, changes: Mapping[str, tuple[bytes, Token, float | None]], /
    ) -> list[str]:
        """Replace each value that is still the one of its token, all in one transaction.

        Returns the keys of these. By key the value, the token and the ttl of ``set_if_version``.
        """
        now = self._clock()
        rows = [
            (self._expiry(ttl), self._checked(value, key), key, token, now)
            for key, (value, token, ttl) in changes.items()
        ]

        def write(cursor: sqlite3.Cursor) -> list[str]:
            # One by one: executemany does not say which rows were there to be changed.
            sql = self._sql.set_version
            return [row[2] for row in rows if cursor.execute(sql, row).rowcount == 1]

        done = self._transact(write, sum(len(row[1]) for row in rows))
        lives = [row[0] for row in rows if row[0] is not None]
        self._purge_sometimes(lives[0] if lives else None, len(lives))
        return done

    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        return self._write(self._sql.delete_version, (key, token, self._clock()), key) == 1

    # ------------------------------------------------------------------------ running statements

    def _read_many(self, sqls: Mapping[int, str], keys: Sequence[str]) -> list[Any]:
        """Return the rows of keys, read in groups: ``sqls`` by how many keys they take."""
        now = self._clock()
        rows: list[Any] = []
        for start in range(0, len(keys), IN_SIZES[-1]):
            group = keys[start : start + IN_SIZES[-1]]
            size = next(size for size in IN_SIZES if size >= len(group))
            filler = (group[0],) * (size - len(group))
            rows += self._read(sqls[size], (now, *group, *filler), None)
        return rows

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

    def _write(
        self, sql: str, parameters: tuple[object, ...], key: str | None, size: int = 0
    ) -> int:
        """Run one statement, which is one transaction, and return how many rows it changed.

        ``size``: bytes of the value in it.
        """
        connections = self._connections
        idle = connections.idle
        cursor = connections.take(idle)
        try:
            changed = cursor.execute(sql, parameters).rowcount
            connections.log.wrote(cursor, size)
        except sqlite3.Error as error:
            raise self._fault(error, key, writing=True) from error
        except UnicodeEncodeError as error:
            reason, name = error.reason, error.object
        else:
            connections.check()
            return changed
        finally:
            connections.give_back(idle, cursor)
        raise _unnameable(name, reason)

    def _write_all(self, sql: str, rows: Iterable[tuple[object, ...]], size: int) -> None:
        """Run a statement for every row, in one transaction. ``size``: bytes of their values."""
        self._transact(lambda cursor: cursor.executemany(sql, rows), size)

    def _transact(self, write: Callable[[sqlite3.Cursor], T], size: int) -> T:
        """Run statements in one transaction. ``size``: bytes of the values in them."""
        connections = self._connections
        idle = connections.idle
        cursor = connections.take(idle)
        try:
            # Immediate: a transaction that reads first and then asks for the lock can be refused
            # without waiting, because what it read may be outdated.
            cursor.execute("begin immediate")
            result = write(cursor)
            cursor.execute("commit")
            connections.log.wrote(cursor, size)
        except sqlite3.Error as error:
            raise self._fault(error, None, writing=True) from error
        except UnicodeEncodeError as error:
            reason, name = error.reason, error.object
        else:
            connections.check()
            return result
        finally:
            if cursor.connection.in_transaction:
                connections.discard(cursor.connection)  # closing rolls back, and cannot fail
            else:
                connections.give_back(idle, cursor)
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
        if not self._read(self._sql.any_expired, (now,), None):
            return 0
        return self._write(self._sql.purge, (now,), None)

    def _purge_sometimes(self, ttl: float | None, writes: int = 1) -> None:
        # By writes with a ttl, so that only who uses them pays; by the first of an instance too,
        # because a process per request never comes to the 256th.
        if ttl is None:
            return
        due = sum(not next(self._ttl_writes) % _PURGE_EVERY for _ in range(writes))
        # The write that called is done and must not fail for this; a later one purges.
        with contextlib.suppress(BackendError):
            while due and self._purge_some():
                due -= 1

    def _fault(self, error: sqlite3.Error, key: str | None, *, writing: bool = False) -> Exception:
        """Return what an error of sqlite3, which holds no value, means to the caller."""
        connections = self._connections
        code = error_code(error)
        reason = f"{connections.path}: {error}"
        if code == sqlite3.SQLITE_TOOBIG:
            return LimitExceeded(reason, limit=self._longest, raw_key=key, stage="store")
        if code == sqlite3.SQLITE_IOERR and writing:
            # A sync that failed: the commit may be in the log, and be found there after a crash.
            return OutcomeUnknown(reason, raw_key=key, stage="store")
        return connections.fault(error, key)


def _unnameable(key: str, reason: str) -> KeyNameError:
    return KeyNameError(f"the key has no UTF-8: {reason}", raw_key=key, stage="name")
