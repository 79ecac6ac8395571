"""What is exact among many writers, and a store that only says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from kvcodec import AsyncStore, Keyspace, Store, Unsupported, check_atomic
from kvcodec.backends.object import ObjectKV
from kvcodec.backends.object_async import AsyncObjectKV
from tests.servers.pretender import Pretender
from tests.servers.seaweed import SeaweedServer

COUNTS = Keyspace("counts", int)

WRITERS, TIMES = 8, 50


def test_stores_that_are_what_they_say(
    seaweed: SeaweedServer, new_folder: Callable[[], str], tmp_path: Path
) -> None:
    """Memory, files (which can create only), and SeaweedFS behind one gateway."""
    # Of writers at one object SeaweedFS lets some wait for seconds.
    for store, rounds in (
        (MemoryStore(), 50),
        (LocalStore(tmp_path), 50),
        (seaweed.store(new_folder()), 3),
    ):
        check_atomic(store, rounds=rounds)
        assert [*ObjectKV(store).scan_keys("")] == []


@pytest.mark.parametrize("compares", [True, False])
def test_a_store_that_only_pretends(
    *, compares: bool, seaweed: SeaweedServer, new_folder: Callable[[], str]
) -> None:
    """Also one that is right as long as one asks after the other; what it leaves is removed."""
    with Pretender(seaweed.port, compares=compares) as pretender:
        folder = new_folder()
        store = seaweed.store(folder, port=pretender.port)
        with pytest.raises(Unsupported, match="only pretends to create what is absent"):
            check_atomic(store)
        assert [*ObjectKV(seaweed.store(folder)).scan_keys("")] == []


class _Amnesiac(MemoryStore):
    """Creates well, and compares nothing."""

    def put(self, path: str, file: Any, **options: Any) -> Any:
        if isinstance(options.get("mode"), dict):
            options["mode"] = "overwrite"
        return super().put(path, file, **options)


def test_a_store_that_compares_nothing() -> None:
    """All who replace what they have read are told that they did."""
    with pytest.raises(Unsupported, match="only pretends to compare before it sets"):
        check_atomic(_Amnesiac())


def counted(make_kv: Callable[[], ObjectKV]) -> int | None:
    """Let writers, each with a KV of its own, add up."""

    def add(_: int) -> None:
        store = Store(COUNTS, make_kv())
        for _ in range(TIMES):
            store.update("all", lambda count: count + 1, default=0)

    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(add, range(WRITERS)))
    return Store(COUNTS, make_kv()).get("all")


class Apart(ObjectKV):
    """A handle that locks of the process take for another store: as in another process."""

    def backing(self, key: str, /) -> Any:
        return id(self), key


def test_updates_in_memory() -> None:
    """All are counted, by compare-and-set alone."""
    store = MemoryStore()
    assert counted(lambda: Apart(store)) == WRITERS * TIMES


def test_updates_on_s3(seaweed: SeaweedServer, new_folder: Callable[[], str]) -> None:
    """Likewise, by clients of their own."""
    folder = new_folder()
    made = lambda: Apart(seaweed.store(folder), conditional=True)  # noqa: E731
    assert counted(made) == WRITERS * TIMES


def test_updates_among_files(tmp_path: Path) -> None:
    """Files have no compare-and-set: exact among the threads of one process, by its locks."""
    assert counted(lambda: ObjectKV(LocalStore(tmp_path))) == WRITERS * TIMES


def test_async_updates_on_s3(seaweed: SeaweedServer, new_folder: Callable[[], str]) -> None:
    """The twin's, beside each other."""
    store = seaweed.store(new_folder())

    class AsyncApart(AsyncObjectKV):
        def backing(self, key: str, /) -> Any:
            return id(self), key

    async def add() -> None:
        counts = AsyncStore(COUNTS, AsyncApart(store, conditional=True))
        for _ in range(TIMES):
            await counts.update("all", lambda count: count + 1, default=0)

    async def use() -> int | None:
        await asyncio.gather(*(add() for _ in range(WRITERS)))
        return await AsyncStore(COUNTS, AsyncObjectKV(store)).get("all")

    assert asyncio.run(use()) == WRITERS * TIMES
