"""What the user of the tests has: declarations, and a KV that stops its process at an operation."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["STORED", "place", "stop"]

STORED = '''
import os

import msgspec

from kvcodec import KeyRing, Keyspace, SQLiteKV
from kvcodec.backends.wrapping import WRITES, Through


class Message(msgspec.Struct):
    role: str
    text: str


HISTORY = Keyspace("history", Message, key=tuple[str, int])
EVENTS = Keyspace("events", str)
UPLOADS = Keyspace("uploads", bytes)


def sealed(ring):
    return [Keyspace("diary", str, cipher=ring), Keyspace("scans", bytes, cipher=ring)]


class Stopping(Through):
    """Sends its process a signal before an operation: the STOP_AT-th write, or read."""

    def __init__(self, kv):
        super().__init__(kv)
        self.left = int(os.environ["STOP_AT"])
        self.counts_writes = os.environ["STOP_OF"] == "writes"

    def _call(self, method, /, *arguments):
        self.left -= (method in WRITES) is self.counts_writes
        if not self.left:
            os.kill(os.getpid(), int(os.environ["STOP_BY"]))
        return getattr(self._kv, method)(*arguments)

    def _list(self, prefix, start_after):
        return self._kv.scan_keys(prefix, start_after)

    def close(self):
        self._kv.close()


def stopping():
    return Stopping(SQLiteKV("app.db"))
'''
"""A module ``stored``."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the module and an empty app.db, which is the working directory too."""
    (tmp_path / "stored.py").write_text(STORED, encoding="utf-8")
    (tmp_path / "app.db").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stop(at: int, of: str, by: int) -> dict[str, str]:
    """The environment of a process that is to stop at a write or read, by a signal."""
    return {"STOP_AT": str(at), "STOP_OF": of, "STOP_BY": str(int(by))}
