"""The write-ahead log of a SQLite file, kept small while many write, and given back after.

SQLite moves its log into the file as it goes, but begins the log anew only when a writer finds
all of it moved and nobody reading from it. Among many writers that moment does not come: 32
threads made a log of 938 MiB beside a file of 11 MiB. So who has written for a while looks how
large it is, and above the bound moves and empties it, while the other writers of this process
wait. (``wal_autocheckpoint`` and ``journal_size_limit`` alone do not help: the one does not wait
for readers and writers, the other acts when the log begins anew.)
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

__all__ = ["LOG_BYTES", "BoundedLog"]

LOG_BYTES: Final = 32 * 2**20
"""Above it the log is emptied. Four times what SQLite lets it grow to by itself
(https://sqlite.org/pragma.html#pragma_wal_autocheckpoint: 1,000 pages, here of 8 KiB), so that
one writer alone never meets it."""

_LOOK_BYTES: Final = 2**20
"""Written bytes between two looks at the size of the log."""

_WRITE_BYTES: Final = 3 * 8_192
"""What a write adds to the log beside its value: the pages of the table and of its indexes."""

_BUSY_SECONDS: Final = 0.5
"""How long writers wait for readers of other programs. One that reads for longer keeps its log:
it is tried again when the log has grown by ``LOG_BYTES``."""


class BoundedLog:
    """The log beside ``file``. ``timeout_ms``: how long its connections wait for a lock."""

    def __init__(self, file: str, timeout_ms: int) -> None:
        self._path = Path(f"{file}-wal")
        self._timeout_ms = timeout_ms
        self._limit = LOG_BYTES
        self._unseen = 0
        self.renew()

    def renew(self) -> None:
        """In a forked child: nobody here is emptying the log."""
        # Reentrant, because a signal handler may write in the middle of a look.
        self._emptying = threading.RLock()
        self._is_emptying = False

    def wrote(self, cursor: sqlite3.Cursor, size: int) -> None:
        """After a write of ``size`` bytes by ``cursor``: look at the log, now and then."""
        # Several threads may lose one another's additions: they only look a little later.
        self._unseen += size + _WRITE_BYTES
        if self._is_emptying or self._unseen >= _LOOK_BYTES:
            self._look(cursor)

    def _look(self, cursor: sqlite3.Cursor) -> None:
        self._unseen = 0
        with self._emptying:
            if self._size() <= self._limit:
                return
            self._is_emptying = True
            try:
                emptied = self._emptied(cursor)
            finally:
                self._is_emptying = False
            self._limit = LOG_BYTES if emptied else self._size() + LOG_BYTES

    def _emptied(self, cursor: sqlite3.Cursor) -> bool:
        deadline = time.monotonic() + _BUSY_SECONDS
        cursor.execute(f"pragma busy_timeout = {_BUSY_SECONDS * 1000:.0f}")
        try:
            # SQLite waits for writers and readers, but not for another thread that moves the log
            # just now, as every commit of a large one does: hence the loop.
            while cursor.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.001)
        except sqlite3.Error:
            return False  # a full disk, say: the write itself is done and must not fail for this
        finally:
            cursor.execute(f"pragma busy_timeout = {self._timeout_ms}")
        return True

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
