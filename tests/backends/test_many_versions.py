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
    LimitExceeded,
    Limits,
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
from kvcodec.backends.adapt import as_kv
from kvcodec.backends.capabilities import capabilities_of
from kvcodec.plans.driver import run
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


def test_who_is_told_of_many(tmp_path: Path) -> None:
    """Refused, if none was replaced."""
    told: list[Any] = []
    with SQLiteKV(tmp_path / "kv.db") as inside:
        kv: Any = WatchedKV(inside, told.append)
        inside.set("a", b"1")
        _, token = inside.get_versioned("a") or (b"", None)
        changes = {"a": (b"new", token, None), "b": (b"new", token, None)}
        assert kv.set_many_if_version(changes) == ["a"]
        assert kv.set_many_if_version(changes) == []
    assert [each.outcome for each in told] == ["done", "refused"]


class _Limited(SQLiteKV):
    """Somebody's own, with a limit of its own."""


def test_limits_of_many(tmp_path: Path) -> None:
    """Of keys and of values, before anything is asked."""
    with _Limited(tmp_path / "kv.db") as inside:
        inside.limits = Limits(key_bytes=3, value_bytes=3)
        inside.set("a", b"1")
        _, token = inside.get_versioned("a") or (b"", None)
        kv: Any = as_kv(inside)
        for changes in ({"a": (b"1234", token, None)}, {"a123": (b"1", token, None)}):
            with pytest.raises(LimitExceeded):
                kv.set_many_if_version(changes)
        with pytest.raises(LimitExceeded):
            kv.get_many_versioned(["a", "a123"])
        assert kv.set_many_if_version({"a": (b"123", token, None)}) == ["a"]


def test_what_came_too_late_is_no_part(tmp_path: Path) -> None:
    """An error behind it does not say that a part is stored; behind a replacement it does."""
    kv: Any

    def plan(changes: Any) -> Any:
        yield "set_many_if_version", changes
        kv.errors.append(Unavailable("gone"))
        yield ("purge",)

    with SQLiteKV(tmp_path / "kv.db") as inside:
        inside.set("a", b"1")
        _, token = inside.get_versioned("a") or (b"", None)
        kv = failing(inside)
        for wrong, stored in ((0, False), (token, True)):
            with pytest.raises(Unavailable) as raised:
                run(plan({"a": (b"new", wrong, None)}), kv, "Store")
            assert raised.value.possibly_stored == stored
