"""KVs to keep files on, what is on them, and the declarations of files."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from kvcodec import (
    AESGCMCipher,
    AsyncMemoryKV,
    AsyncSQLiteKV,
    KeyRing,
    Keyspace,
    MemoryKV,
    SQLiteKV,
)
from kvcodec.testing import LikeDify, like_dify
from tests.servers.engines import ENGINES

CHUNK = 64
"""Bytes: small, so that a few hundred bytes are several chunks."""

RING = KeyRing.generate()

PLAIN = Keyspace("files", bytes)
SEALED = Keyspace("files", bytes, cipher=RING)

KEYSPACES: dict[str, Keyspace[bytes]] = {
    "plain": PLAIN,
    "sealed": SEALED,
    "aes-gcm": Keyspace("files", bytes, cipher=AESGCMCipher(RING)),
    "compressed": Keyspace("files", bytes, compress="zlib"),
    "checksum": Keyspace("files", bytes, checksum=True),
    "ttl": Keyspace("files", bytes, ttl=timedelta(days=1)),
    "max_age": Keyspace("files", bytes, max_age=timedelta(days=1)),
}

Open = Callable[[], Any]

HANDLES = ["dict", "memory", "sqlite", "dify", *ENGINES]


def opener(kind: str, directory: Path) -> Open:
    """What makes an empty KV of a kind. Of SQLite the same one, emptied: ten times faster."""
    made: list[SQLiteKV] = []

    def emptied() -> SQLiteKV:
        kv = made[0] if made else SQLiteKV(directory / "kv.db")
        made[:] = [kv]
        kv.delete_many(list(kv.scan_keys("")))
        return kv

    makers: dict[str, Open] = {
        "dict": dict,
        "memory": MemoryKV,
        "sqlite": emptied,
        "dify": lambda: like_dify(quota_bytes=1 << 30),
        **ENGINES,
    }
    return makers[kind]


def async_opener(kind: str, directory: Path) -> Open:
    """What makes an empty async KV of a kind."""
    numbers = iter(range(1_000_000))
    makers: dict[str, Open] = {
        "dict": dict,
        "memory": AsyncMemoryKV,
        "sqlite": lambda: AsyncSQLiteKV(directory / f"async-{next(numbers)}.db"),
    }
    return makers[kind]


def stored(kv: Any) -> dict[str, bytes]:
    """Everything that a KV holds, by its name."""
    if isinstance(kv, LikeDify):
        return dict(kv._values)
    if isinstance(kv, MutableMapping):
        return dict(cast("MutableMapping[str, bytes]", kv))
    return {name: kv.get(name) for name in kv.scan_keys("")}


def chunk_count(size: int, chunk: int = CHUNK) -> int:
    """How many chunk values a file of so many bytes takes: none if it is in the manifest."""
    return 0 if size < chunk else -(-size // chunk)


def expected_names(sizes: dict[str, int], chunk: int = CHUNK) -> list[str]:
    """The names that files of these sizes take, with ``*`` for each generation."""
    names = [f"files/{key}" for key in sizes]
    for key, size in sizes.items():
        names += [f"files/{key}!g*.{number}" for number in range(chunk_count(size, chunk))]
    return sorted(names)


def names_on(kv: Any) -> list[str]:
    """The names on a KV in the same writing."""
    return sorted(re.sub(r"!g[0-9a-f]{16}\.", "!g*.", name) for name in stored(kv))


@pytest.fixture(params=HANDLES)
def open_kv(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """What makes empty KVs of each kind in turn."""
    return opener(request.param, tmp_path)
