"""Files where somebody waits: in another event loop, in the other twin, until it is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from kvcodec import AsyncFiles, Files
from kvcodec.plans import locks
from kvcodec.plans.files.traces import uploading
from tests.stores.files.handles import CHUNK, PLAIN, expected_names, names_on

OLD, NEW, OTHER = bytes(range(200)), bytes(range(256)) * 2, b"other" * 70


def nothing() -> None:
    """Do nothing."""


class Three:
    """An async KV with three methods; others have a turn before and after each is done."""

    def __init__(self) -> None:
        self.values_: dict[str, bytes] = {}
        self.turn: Callable[[], None] = nothing

    async def get(self, key: str, /) -> bytes | None:
        """As a KV has it."""
        self.turn()
        await asyncio.sleep(0)
        found = self.values_.get(key)
        await asyncio.sleep(0)
        return found

    async def set(self, key: str, value: bytes, /) -> None:
        """As a KV has it."""
        self.turn()
        await asyncio.sleep(0)
        self.values_[key] = value
        await asyncio.sleep(0)

    async def delete(self, key: str, /) -> None:
        """As a KV has it."""
        self.turn()
        await asyncio.sleep(0)
        self.values_.pop(key, None)
        await asyncio.sleep(0)


class Shelf(MutableMapping[str, bytes]):
    """A dict that calls ``turn`` before each operation."""

    def __init__(self) -> None:
        self.values_: dict[str, bytes] = {}
        self.turn: Callable[[], None] = nothing

    def __getitem__(self, key: str) -> bytes:
        self.turn()
        return self.values_[key]

    def __setitem__(self, key: str, value: bytes) -> None:
        self.turn()
        self.values_[key] = value

    def __delitem__(self, key: str) -> None:
        self.turn()
        del self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def sync_put(kv: Any, content: bytes) -> None:
    """Put one key by ``Files``."""
    Files(PLAIN, kv, chunk_bytes=CHUNK).put("a", content)


def async_put(kv: Any, content: bytes) -> None:
    """Put it by ``AsyncFiles``, in an event loop of its own."""
    asyncio.run(AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK).put("a", content))


class Meeting:
    """Before the operation number so and so of one writer another one goes as far as it gets.

    That is to its end, or to where it waits for the first one.
    """

    def __init__(self, at: int, other: Callable[[], None]) -> None:
        self.left = at
        self.first = threading.get_ident()
        self.other = other
        self.pool = ThreadPoolExecutor(1)
        self.others: Future[None] | None = None

    def __call__(self) -> None:
        if threading.get_ident() == self.first:
            self.left -= 1
            if self.left == -1:
                self.others = self.pool.submit(self.other)
                while not self.others.done() and not locks._waiting:
                    pass

    def end(self) -> bool:
        """Let the other one come to its end; say whether it had to begin at all."""
        self.pool.shutdown()
        if self.others is not None:
            self.others.result()
        return self.others is not None


@pytest.mark.parametrize(
    ("make", "first", "second"),
    [
        (Three, async_put, async_put),
        (Shelf, async_put, async_put),
        (Shelf, sync_put, async_put),
        (Shelf, async_put, sync_put),
    ],
    ids=["loops-three", "loops-dict", "sync-async", "async-sync"],
)
def test_puts_of_one_key_in_two_loops_and_by_both_twins(
    make: Any, first: Callable[..., None], second: Callable[..., None]
) -> None:
    """Wherever they meet: one whole file at every moment, and nothing else is left.

    Each event loop had a lock of its own, and so had threads: traces were written over each
    other, and chunks of the one were left, or taken for those of a dead put.
    """
    at = 0
    for at in range(1000):
        kv = make()
        second(kv, OLD)
        meeting = Meeting(at, partial(_put_and_look, second, kv))
        kv.turn = meeting
        first(kv, NEW)
        kv.turn = nothing
        has_met, content = meeting.end(), _read(kv)
        if not has_met:
            break
        assert content in (NEW, OTHER)
        assert names_on(kv.values_) == expected_names({"a": len(content)}), f"met before {at}"
        assert _swept(kv) == 0
        assert not uploading
    assert at > 20, "a put takes so many operations"


def _put_and_look(put: Callable[..., None], kv: Any) -> None:
    assert _read(kv) in (OLD, NEW)
    put(kv, OTHER)
    assert _read(kv) in (NEW, OTHER)


def _read(kv: Any) -> bytes:
    content = asyncio.run(AsyncFiles(PLAIN, kv).get("a"))
    assert content is not None
    return content


def _swept(kv: Any) -> int:
    return asyncio.run(AsyncFiles(PLAIN, kv).sweep(["a"]))


def test_twins_put_one_key_within_each_other() -> None:
    """A source that puts the same file by the other twin: nobody waits for himself."""
    kv: dict[str, bytes] = {}
    files, twin = Files(PLAIN, kv, chunk_bytes=CHUNK), AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)

    def by_the_twin() -> Iterator[bytes]:
        yield NEW[:100]
        asyncio.run(twin.put("a", OLD))
        yield NEW[100:]

    async def by_the_other() -> AsyncIterator[bytes]:
        yield NEW[:100]
        files.put("a", OLD)
        yield NEW[100:]

    async def run() -> None:
        await twin.put("a", by_the_other())

    for put in (lambda: files.put("a", by_the_twin()), lambda: asyncio.run(run())):
        put()
        assert files.get("a") == NEW
        assert names_on(kv) == expected_names({"a": len(NEW)})


def _cancelled(kv: Three, at: int, again: int | None) -> bool:
    """A put, cancelled when it has been resumed so often; say whether it was."""

    async def run() -> bool:
        putting = asyncio.create_task(AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK).put("a", NEW))
        for _ in range(at):
            await asyncio.sleep(0)
        if putting.done():
            return False
        putting.cancel()
        for _ in range(again or 0):
            await asyncio.sleep(0)
        if again is not None:
            putting.cancel()
        with suppress(asyncio.CancelledError):
            await putting
        return True

    return asyncio.run(run())


@pytest.mark.parametrize("again", [None, 0, 1, 2, 5, 9])
def test_a_put_that_is_cancelled_anywhere(again: int | None) -> None:
    """The file is the old one or the new one, whole; after a sweep nothing else is there.

    Before, during and after each operation; and once more while it takes back what it wrote.
    """
    found: set[bytes | None] = set()
    at = 0
    for at in range(1000):
        kv = Three()
        files = AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)
        asyncio.run(files.put("a", OLD))
        if not _cancelled(kv, at, again):
            break
        assert not uploading
        asyncio.run(files.sweep(["a"]))
        content = asyncio.run(files.get("a"))
        assert content in (OLD, NEW)
        assert names_on(kv.values_) == expected_names({"a": len(content)}), f"cancelled at {at}"
        found.add(content)
    assert at > 40, "each operation gives the others two turns"
    assert found == {OLD, NEW}


def test_a_put_that_is_cancelled_while_it_waits_for_another() -> None:
    """It leaves the row and its own chunks behind it; who comes after it is let in."""

    async def run() -> None:
        kv = Three()
        files = AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)
        first, second, third = (
            asyncio.create_task(files.put("a", content)) for content in (OLD, NEW, OTHER)
        )
        await asyncio.sleep(0)  # all three have begun: one is at work, and two are in the row
        await asyncio.sleep(0)
        second.cancel()
        await first
        await third
        with pytest.raises(asyncio.CancelledError):
            await second
        content = await files.get("a")
        assert content in (OLD, OTHER)
        assert names_on(kv.values_) == expected_names({"a": len(content)})

    asyncio.run(run())
    assert not uploading
