"""``place_behind``: handles on one store agree about it, handles on two stores do not."""

# A method of a made-up client takes whatever such a client takes.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kvcodec.backends import sqlite_pool
from kvcodec.backends.capabilities import place_behind
from kvcodec.backends.dify import DifyKV
from kvcodec.backends.handle import AsyncHandleKV, HandleKV
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.errors import ConfigError
from kvcodec.testing import like_dify
from tests.backends.test_capabilities import Client, Traced, client


class Equal(Client):
    """Equal to whatever is compared with it, and not hashable: by what it does, not what it is."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]


def agree(*places: tuple[object, str]) -> bool:
    """Say whether all are the same place; any can be a key of a dict of locks."""
    return len({*places}) == 1


def test_a_client_is_its_own_store() -> None:
    """By its identity: its equality and its hash are its own affair."""
    one, other = Equal(), Equal()
    assert agree(place_behind(one, "k"), place_behind(one, "k"))
    assert not agree(place_behind(one, "k"), place_behind(other, "k"))
    assert not agree(place_behind(one, "k"), place_behind(one, "l"))


def test_wrappers_of_a_client_are_the_client() -> None:
    """HandleKV and its twin, a proxy that passes everything on, and parts of any of them."""
    inner: Any = Equal()
    assert agree(
        place_behind(inner, "a/k"),
        place_behind(HandleKV(inner), "a/k"),
        place_behind(AsyncHandleKV(inner), "a/k"),
        place_behind(PrefixKV(inner, "a/"), "k"),
        place_behind(AsyncPrefixKV(AsyncHandleKV(inner), "a/"), "k"),
        place_behind(Traced(HandleKV(inner)), "a/k"),
    )


def test_handles_on_one_mapping_agree() -> None:
    """A mapping is the store, whichever twin and however often it is wrapped."""
    one: dict[str, bytes] = {}
    other: dict[str, bytes] = {}
    assert agree(
        place_behind(MappingKV(one), "k"),
        place_behind(MappingKV(one), "k"),
        place_behind(AsyncMappingKV(one), "k"),
        place_behind(one, "k"),
    )
    assert not agree(place_behind(MappingKV(one), "k"), place_behind(MappingKV(other), "k"))


def test_memory_is_its_tables() -> None:
    """Two have two; the async twin answers for the one that it is made of."""
    twin = AsyncMemoryKV()
    assert agree(place_behind(twin, "k"), place_behind(twin._kv, "k"))
    assert not agree(place_behind(MemoryKV(), "k"), place_behind(twin, "k"))
    assert not agree(*(place_behind(kv, "k") for kv in (MemoryKV(), MemoryKV())))


@pytest.mark.parametrize("path", ["app.db", "./sub/../app.db", "link.db"])
def test_a_file_is_one_store_by_whatever_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Relative, by a link and from another directory; both twins."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    with SQLiteKV(tmp_path / "app.db") as kv, SQLiteKV(tmp_path / "other.db") as other:
        Path("link.db").symlink_to(tmp_path / "app.db")

        async def twin() -> tuple[object, str]:
            async with AsyncSQLiteKV(path) as kv:
                return place_behind(kv, "k")

        with SQLiteKV(path) as same:
            assert agree(place_behind(kv, "k"), place_behind(same, "k"), asyncio.run(twin()))
        assert not agree(place_behind(kv, "k"), place_behind(other, "k"))


def test_a_file_that_is_gone_is_still_a_store(tmp_path: Path) -> None:
    """What was open before it was removed keeps its place: nothing is asked of the disk."""
    path = tmp_path / "app.db"
    with SQLiteKV(path) as kv, SQLiteKV(path) as same:
        before = place_behind(kv, "k")
        path.unlink()
        assert agree(before, place_behind(kv, "k"), place_behind(same, "k"))


def test_a_file_without_a_number_is_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system cannot say which file it is, the path without links does."""
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr(sqlite_pool, "_inode", lambda file: None)
    with SQLiteKV(tmp_path / "app.db") as kv, SQLiteKV(tmp_path / "link" / "app.db") as same:
        assert place_behind(kv, "k") == (("file", str(tmp_path / "app.db"), "kv"), "k")
        assert agree(place_behind(kv, "k"), place_behind(same, "k"))


def test_a_part_is_a_place_in_the_whole() -> None:
    """Under its full name, nested too; the same name in two parts is two places."""
    whole, twin = MemoryKV(), AsyncMemoryKV()
    nested, joined = PrefixKV(PrefixKV(whole, "a/"), "b/"), PrefixKV(whole, "a/b/")
    assert agree(*(place_behind(kv, "k") for kv in (nested, joined)), place_behind(whole, "a/b/k"))
    assert not agree(place_behind(nested, "k"), place_behind(PrefixKV(whole, "b/"), "k"))
    assert agree(place_behind(AsyncPrefixKV(twin, "a/"), "k"), place_behind(twin, "a/k"))


def test_the_storages_of_a_plugin_are_one_store() -> None:
    """A new object comes with every request, and stands for the same storage."""
    one, other = DifyKV(like_dify()), DifyKV(like_dify())
    assert agree(place_behind(one, "k"), place_behind(other, "k"))
    assert not agree(place_behind(one, "k"), place_behind(MemoryKV(), "k"))


def test_a_handle_may_say_it_itself() -> None:
    """By the protocol; what is called backing and is none is left aside."""
    said = client(backing=lambda self, key: ("database 3", f"app:{key}"))
    assert place_behind(said, "k") == ("database 3", "app:k")

    def one_more(_self: object, _one: str, _two: str) -> tuple[str, str]:
        return "x", "y"

    others: list[Any] = [None, "a file", one_more]
    for other in others:
        handle = client(backing=other)
        assert place_behind(handle, "k") == (("handle", id(handle)), "k")


@pytest.mark.parametrize(
    "answer", [None, "ab", ("a",), ("a", b"k"), ["a", "k"], ("a", "k", "more")]
)
def test_a_wrong_place_is_an_error(answer: Any) -> None:
    """ConfigError, where two writers would otherwise be at work on one key."""
    handle = client(backing=lambda self, key: answer)
    with pytest.raises(ConfigError, match="identity and the key's full name"):
        place_behind(handle, "k")
