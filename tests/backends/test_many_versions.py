"""Compare-and-set of many keys through wrappers: each by its own token, under its own name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncPrefixKV,
    AsyncSQLiteKV,
    AsyncTieredKV,
    AsyncWatchedKV,
    MemoryKV,
    PrefixKV,
    ReadOnlyKV,
    RetryKV,
    SQLiteKV,
    TieredKV,
    Unavailable,
    Unsupported,
    WatchedKV,
)
from kvcodec.backends.capabilities import capabilities_of
from tests.backends.test_wrappers import failing

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "prefix": lambda kv: PrefixKV(kv, "part/"),
    "watched": lambda kv: WatchedKV(kv, lambda _: None),
    "retry": RetryKV,
    "tiered": lambda kv: TieredKV(MemoryKV(), kv),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_many_are_swapped_through_a_wrapper(name: str, tmp_path: Path) -> None:
    """With their own names, each by its own token; what has lost its token stays."""
    with SQLiteKV(tmp_path / "kv.db") as inside:
        kv = WRAPPERS[name](inside)
        kv.set_many({"a": b"1", "b": b"2"})
        assert capabilities_of(kv).many_versions
        found = kv.get_many_versioned(["a", "b", "c"])
        assert {key: value for key, (value, _) in found.items()} == {"a": b"1", "b": b"2"}
        kv.set("b", b"newer")
        changes = {key: (b"new", token, None) for key, (_, token) in found.items()}
        assert kv.set_many_if_version(changes) == ["a"]
        assert kv.get_many(["a", "b"]) == {"a": b"new", "b": b"newer"}


ASYNC_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "prefix": lambda kv: AsyncPrefixKV(kv, "part/"),
    "watched": lambda kv: AsyncWatchedKV(kv, lambda _: None),
    "tiered": lambda kv: AsyncTieredKV(AsyncMemoryKV(), kv),
}


@pytest.mark.parametrize("name", ASYNC_WRAPPERS)
def test_many_are_swapped_through_an_async_wrapper(name: str, tmp_path: Path) -> None:
    """As its twin does."""

    async def swapped() -> None:
        async with AsyncSQLiteKV(tmp_path / "kv.db") as inside:
            kv = ASYNC_WRAPPERS[name](inside)
            await kv.set_many({"a": b"1", "b": b"2"})
            found = await kv.get_many_versioned(["a", "b", "c"])
            await kv.set("b", b"newer")
            changes = {key: (b"new", token, None) for key, (_, token) in found.items()}
            assert await kv.set_many_if_version(changes) == ["a"]
            assert await kv.get_many(["a", "b"]) == {"a": b"new", "b": b"newer"}

    asyncio.run(swapped())


def test_bytes_of_many_that_are_swapped_are_told(tmp_path: Path) -> None:
    """Those of the values, as of every other operation."""
    told: list[Any] = []
    with SQLiteKV(tmp_path / "kv.db") as inside:
        inside.set_many({"a": b"12", "b": b"345"})
        kv: Any = WatchedKV(inside, told.append)
        found = kv.get_many_versioned(["a", "b"])
        kv.set_many_if_version({key: (b"new!", token, None) for key, (_, token) in found.items()})
    assert [(each.method, each.bytes) for each in told] == [
        ("get_many_versioned", 5),
        ("set_many_if_version", 8),
    ]


def test_many_swaps_are_never_sent_twice_nor_through_a_read_only_kv(tmp_path: Path) -> None:
    """They are conditional, and they write."""
    with SQLiteKV(tmp_path / "kv.db") as inside:
        kv: Any = ReadOnlyKV(inside)
        with pytest.raises(Unsupported):
            kv.set_many_if_version({"a": (b"new", 1, None)})
        again: Any = RetryKV(failing(inside, [Unavailable("gone", stage="store")]))
        with pytest.raises(Unavailable):
            again.set_many_if_version({"a": (b"new", 1, None)})
