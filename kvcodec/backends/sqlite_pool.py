"""The open connections of a SQLite file: pooled, closed before a fork, opened again after it.

Connections are pooled: an operation takes an idle one and puts it back, so no two threads ever
share one at the same time, there are only as many as there were threads at work at once, and a
thread that ends leaves nothing behind.

A connection must not cross a fork, and it is not enough to leave it alone in the child: SQLite
remembers, per file and process, which locks it holds, the child inherits the memory but not the
locks, and the log may be deleted under a child that opens the file again (an acknowledged write
was lost in such an experiment). So every connection is closed before a fork and opened again
after it, by ``os.register_at_fork``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from kvcodec.backends.sqlite_log import LOG_BYTES, BoundedLog
from kvcodec.backends.sqlite_statements import COLUMNS, Statements
from kvcodec.errors import BackendError, ConfigError, QuotaExceeded, Unavailable

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Connections", "error_code"]

_SYNCHRONOUS: Final = {"process": "NORMAL", "full": "FULL"}
"""https://sqlite.org/pragma.html#pragma_synchronous: with a write-ahead log, NORMAL may lose the
last commits when the power fails (never when the process does); FULL syncs at every commit."""

_LONGEST_SECONDS: Final = (2**31 - 1) // 1000
"""Of a wait for a lock: SQLite takes milliseconds as an int of 32 bits, and does not wait at all
for more (https://sqlite.org/c3ref/busy_timeout.html)."""

_FORK_SECONDS: Final = 5.0
"""How long a fork waits for operations of other threads to end, so that it finds no connection
open. An operation takes microseconds, unless it waits for a lock."""


class Connections:
    """The open connections of one file: taken by an operation, then given back.

    ``idle`` is a list because ``pop`` and ``append`` of a list are atomic. It is replaced by
    another list to say that its connections are to be closed: whoever gives one back to a list
    that is no longer ``idle`` closes it. So closing never touches a connection in use, which
    could crash the interpreter, and an operation takes no lock.

    A file that is removed or replaced while it is open is noticed: see ``check``.
    """

    creating: ClassVar[threading.RLock] = threading.RLock()
    """Held while a file is created: see ``_create``."""

    _closed = True  # of one whose __init__ failed or never ran: nothing to close

    def __init__(
        self, path: str | os.PathLike[str], durability: str, timeout: float, table: str
    ) -> None:
        self.path: str = _absolute(path)
        # Once: later connections must find the same file, wherever a link points by then.
        self.file: str = os.path.realpath(self.path)
        _check_directory(self.file)
        self.durability: str = _checked_durability(durability)
        self.timeout: float = _checked_timeout(timeout)
        self.statements: Statements = Statements(table)
        self.log: BoundedLog = BoundedLog(self.file, int(timeout * 1000))
        self.identity: Hashable = None
        """Of the file and table: equal for all connections to them, by whatever path."""
        self._inode: tuple[int, int] | None = None
        self.idle: list[sqlite3.Cursor] = []
        self._open: set[sqlite3.Connection] = set()
        # Reentrant, because a signal handler or a finaliser may use the KV in mid-operation.
        self._gate = threading.RLock()
        self._closed = False
        with self.creating:  # no other thread may be reading the set in a fork's preparation
            _LIVING.add(self)

    def __del__(self) -> None:
        if not self._closed:
            self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open SQLite file cannot be copied or pickled: open its path again")

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
            if self.file in _INHERITED:
                raise Unavailable(
                    f"{self.path} was in use by another thread when this process was forked, and"
                    " SQLite cannot open it here again: fork before threads use it",
                    stage="store",
                )
            connection = self._connected()
            self._open.add(connection)
        return connection.cursor()

    def _connected(self) -> sqlite3.Connection:
        self.check()  # or SQLite would make another file in the place of a lost one
        created = False
        try:
            created = self._inode is None and _create(self.file)
            connection = _opened(self)
        except (sqlite3.Error, OSError) as error:
            if created:
                _remove_empty(self.file)
            raise self.fault(error, None) from error
        if self._inode is None:
            self._inode = _inode(self.file)
            self.identity = ("file", self._inode or self.file, self.statements.table)
        return connection

    def check(self) -> None:
        """Raise Unavailable if the file is no longer the one that was opened.

        After an unlink SQLite writes on into a file that has no name any more: every write would
        be acknowledged and lost. Called when a connection is opened, after every write and by
        some of the reads, so what was acknowledged was in the file of this path.
        """
        if self._inode is None or _inode(self.file) == self._inode:
            return
        with self._gate:
            self._retire()
        raise Unavailable(
            f"{self.path} was removed or replaced by another file while it was open: nothing is"
            " written into the new one through this handle. Stop what replaces it, then open the"
            " path again.",
            stage="store",
        )

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

    def fault(self, error: sqlite3.Error | OSError, key: str | None) -> BackendError:
        """Return the error of an operation that was not applied."""
        reason = str(error)
        if _is_full(error):
            return QuotaExceeded(
                f"the disk of {self.path} is full: free some MiB on it, outside of this file."
                " Until then nothing can be deleted here either, because a delete is written, too;"
                " what it frees is used again by later writes",
                possibly_stored=False,
                raw_key=key,
                stage="store",
            )
        if isinstance(error, sqlite3.Error) and error_code(error) == sqlite3.SQLITE_BUSY:
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
        self.log.renew()
        self.idle = []
        if self._open:
            _INHERITED.setdefault(self.file, []).extend(self._open)
            self._open = set()

    def _retire(self) -> None:
        idle, self.idle = self.idle, []
        self.close_idle(idle)


def error_code(error: sqlite3.Error) -> int:
    """Return SQLite's error code without its extended part; 0 for errors of the module itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


# ------------------------------------------------------------------------------ opening a file


def _absolute(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if text == ":memory:" or not text:
        raise ConfigError(
            f"SQLiteKV keeps a file, not {text!r}: every connection would see a database of its"
            " own. Use MemoryKV."
        )
    if "\0" in text:
        raise ConfigError("the path of a database cannot contain NUL")
    return str(Path(text).absolute())


def _check_directory(file: str) -> None:
    if not Path(file).parent.is_dir():
        raise ConfigError(f"the directory of {file} does not exist; create it first")


def _checked_durability(durability: str) -> str:
    if durability not in _SYNCHRONOUS:
        raise ConfigError(f"durability is 'process' or 'full', not {durability!r}")
    return durability


def _checked_timeout(timeout: float) -> float:
    if not 0 <= timeout <= _LONGEST_SECONDS:
        raise ConfigError(
            f"timeout is a number of seconds from 0 to {_LONGEST_SECONDS}, not {timeout!r}"
        )
    return timeout


def _create(file: str) -> bool:
    """Make the file, if it is not there, readable by its owner only; say whether it was made.

    It may hold tokens.

    ``file`` is no link: of one that points nowhere yet, SQLite would make the file, readable by
    all. The two files beside it get the mode of this one.
    """
    # Never opened if it is there: closing a descriptor of a file drops every lock that this
    # process holds on it, those of SQLite too (https://sqlite.org/howtocorrupt.html, 2.2). Under
    # a lock, so that no other thread opens it while this one is about to close it.
    with Connections.creating, contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return True
    return False


def _remove_empty(file: str) -> None:
    """Remove what was made on a full disk: an empty file would be taken for a database."""
    with Connections.creating, contextlib.suppress(OSError):
        if Path(file).stat().st_size == 0:
            Path(file).unlink()


def _is_full(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return error_code(error) == sqlite3.SQLITE_FULL


def _inode(file: str) -> tuple[int, int] | None:
    """Return what stays the same when a file is renamed; None if it is gone, or has none."""
    try:
        status = os.stat(file)  # noqa: PTH116 - twice as fast as Path's, and asked by every write
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None


def _opened(settings: Connections) -> sqlite3.Connection:
    connection = sqlite3.connect(
        settings.file,
        timeout=settings.timeout,
        isolation_level=None,  # transactions begin where this file says so
        check_same_thread=False,  # one thread at a time, but not always the same
    )
    with contextlib.ExitStack() as failed:
        failed.callback(connection.close)
        _set_up(connection, settings)
        failed.pop_all()
    return connection


def _set_up(connection: sqlite3.Connection, settings: Connections) -> None:
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
    connection.execute(f"pragma journal_size_limit = {LOG_BYTES // 4}")
    _check_table(connection, settings)
    for sql in settings.statements.create:
        connection.execute(sql)


def _check_table(connection: sqlite3.Connection, settings: Connections) -> None:
    """Refuse at once, and not at the first write, a table that is somebody else's."""
    table = settings.statements.table
    sql = "select name from pragma_table_info(?)"
    found = tuple(name for (name,) in connection.execute(sql, (table,)))
    if found not in ((), COLUMNS):
        raise ConfigError(
            f"{settings.path} has a table {table!r} of its own, which is none of kvcodec's: name"
            " another one, SQLiteKV(path, table=...)"
        )


def _switched_to_log(connection: sqlite3.Connection, timeout: float) -> str:
    """Return the journal mode that the file has after asking for a write-ahead log."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            mode: str = connection.execute("pragma journal_mode = wal").fetchone()[0]
        except sqlite3.OperationalError as error:
            # SQLite does not wait here: of several that switch a new file at once, some are
            # refused at once (4 of 1200 opens by 20 threads), so the waiting is done by hand.
            if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return mode
        time.sleep(0.001)


# --------------------------------------------------------------------------------------- forks

_LIVING: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()
_PAUSED: Final[list[Connections]] = []

_INHERITED: Final[dict[str, list[sqlite3.Connection]]] = {}
"""Connections that a child found open, by path: kept, because closing one here could roll back in
shared memory what the parent is writing. Only where a thread did not finish within
``_FORK_SECONDS``, or where a host forks without telling Python before."""


def _before_fork() -> None:
    with Connections.creating:
        _PAUSED[:] = list(_LIVING)
    for connections in _PAUSED:
        connections.pause()
    Connections.creating.acquire()  # after the gates, as whoever opens a file takes them


def _after_in_parent() -> None:
    Connections.creating.release()
    for connections in _PAUSED:
        connections.resume()
    _PAUSED.clear()


def _after_in_child() -> None:
    Connections.creating = threading.RLock()
    _PAUSED.clear()
    for connections in list(_LIVING):
        connections.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_in_parent,
        after_in_child=_after_in_child,
    )
