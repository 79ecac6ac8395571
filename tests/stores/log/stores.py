"""KVs that logs are tested on, and what the tests store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from kvcodec import Keyspace, MappingKV, MemoryKV, SQLiteKV
from kvcodec.testing import ManualClock, like_dify

__all__ = ["BARE", "CLOCK", "MESSAGES", "MakeKV", "Message", "bare", "names", "sqlite_maker"]

MakeKV = Callable[[], Any]

CLOCK = ManualClock()


class Message(Struct):
    """What a chat program keeps."""

    role: str
    text: str


MESSAGES = Keyspace("history", Message)


class Bare:
    """Get, set and delete on a dict, and nothing else: no list, no compare-and-set, no many."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.written = 0
        """Bytes, in all sets."""
        self.asked: list[tuple[str, str]] = []

    def get(self, key: str) -> bytes | None:
        self.asked.append(("get", key))
        return self.values.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.asked.append(("set", key))
        self.written += len(value)
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.asked.append(("delete", key))
        self.values.pop(key, None)


class Half(Bare):
    """Three methods and one half of compare-and-set, of a MemoryKV: nothing is exact by itself."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        inside = self.kv = MemoryKV()
        for name in ("get", "set", "delete", *methods):
            setattr(self, name, getattr(inside, name))


def bare() -> Bare:
    """A KV with three methods."""
    return Bare()


def dify() -> Any:
    """A stand-in for a Dify plugin's storage."""
    return like_dify()


def sqlite_maker(directory: Path) -> MakeKV:
    """What makes one database after the other, each empty."""
    made: list[SQLiteKV] = []

    def make() -> SQLiteKV:
        if made:
            made[-1].close()
        made.append(SQLiteKV(directory / f"{len(made)}.db"))
        return made[-1]

    return make


BARE: dict[str, MakeKV] = {
    "bare": bare,
    "dict": lambda: MappingKV({}),
    "memory": MemoryKV,
    "dify": dify,
    "claims": lambda: Half("set_if_absent"),
    "versions": lambda: Half("get_versioned", "set_if_version", "delete_if_version"),
}
"""By name; SQLite needs a directory besides."""


def names(kv: Any) -> list[str]:
    """Every name that is stored."""
    inside = getattr(kv, "kv", kv)
    inside = getattr(inside, "_storage", inside)
    if hasattr(inside, "scan_keys"):
        return sorted(inside.scan_keys(""))
    with suppress(AttributeError):
        return sorted(inside.values)
    return sorted(inside._values)
