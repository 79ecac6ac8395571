"""What was refused by its own constructor, as whoever prints a traceback's locals meets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import (
    AsyncCache,
    AsyncFiles,
    AsyncLog,
    AsyncSQLiteKV,
    AsyncStore,
    AsyncSubjects,
    AsyncValue,
    Cache,
    ConfigError,
    Files,
    Keyspace,
    Log,
    Previous,
    SQLiteKV,
    Store,
    Subjects,
    Value,
)

COUNTS: Any = Keyspace("counts", int)
NO_KV: Any = 3

REFUSED: dict[str, Callable[[], object]] = {
    "Store": lambda: Store(COUNTS, NO_KV),
    "AsyncStore": lambda: AsyncStore(COUNTS, NO_KV),
    "Value": lambda: Value(COUNTS, {}),
    "AsyncValue": lambda: AsyncValue(COUNTS, {}),
    "Log": lambda: Log(COUNTS, NO_KV),
    "AsyncLog": lambda: AsyncLog(COUNTS, NO_KV),
    "Files": lambda: Files(COUNTS, NO_KV),
    "AsyncFiles": lambda: AsyncFiles(COUNTS, NO_KV),
    "Cache": lambda: Cache(COUNTS, {}),
    "AsyncCache": lambda: AsyncCache(COUNTS, {}),
    "Subjects": lambda: Subjects(COUNTS, {}),
    "AsyncSubjects": lambda: AsyncSubjects(COUNTS, {}),
    "Previous": lambda: Previous(COUNTS, until=float("nan")),
    "SQLiteKV": lambda: SQLiteKV("file.db", timeout=-1),
    "AsyncSQLiteKV": lambda: AsyncSQLiteKV("file.db", timeout=-1),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_was_refused_has_a_repr(kind: str) -> None:
    """It says what it was to be, and raises nothing."""
    with pytest.raises(ConfigError) as caught:
        REFUSED[kind]()
    traceback = caught.value.__traceback__
    halves: list[object] = []
    while traceback is not None:
        halves.append(traceback.tb_frame.f_locals.get("self"))
        traceback = traceback.tb_next
    assert f"<{kind}, refused>" in map(repr, halves)
