"""``AsyncFiles``: what its twin does, to the byte, and what only tasks and awaiting can do."""

from __future__ import annotations

import asyncio
import io
import mmap
import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AsyncFiles,
    AsyncMemoryKV,
    Conflict,
    EncodeError,
    Files,
    Keyspace,
    MemoryKV,
    MissingKey,
    Tampered,
    Unsupported,
)
from kvcodec.testing import AsyncFaultyKV, ManualClock, Stop, Stopped
from tests.stores.files.handles import (
    CHUNK,
    KEYSPACES,
    PLAIN,
    SEALED,
    async_opener,
    expected_names,
    names_on,
    stored,
)

CONTENT = bytes(range(256)) * 2


async def names_of(kv: Any) -> list[str]:
    """The names on a KV, with ``*`` for generations."""
    if isinstance(kv, dict):
        return names_on(kv)
    return names_on({name: b"" async for name in kv.scan_keys("")})


async def keys_of(files: AsyncFiles) -> list[str]:
    """What is listed."""
    listing = files.keys()
    return [key async for key in listing]


@pytest.mark.parametrize("kind", ["dict", "memory", "sqlite"])
@pytest.mark.parametrize("keyspace", KEYSPACES.values(), ids=KEYSPACES)
def test_what_is_put_is_read(kind: str, keyspace: Keyspace[bytes], tmp_path: Path) -> None:
    """Whole, in parts, by what is known of it; listed, deleted, swept."""

    async def run() -> None:
        kv = async_opener(kind, tmp_path)()
        files = AsyncFiles(keyspace, kv, chunk_bytes=CHUNK)
        for size in (0, 5, CHUNK, 500, 3 * CHUNK):
            given = await files.put("a", CONTENT[:size], content_type="x/y")
            assert await files.get("a") == CONTENT[:size]
            assert await files.info("a") == given
            assert await files.exists("a")
            assert await names_of(kv) == expected_names({"a": size})
        assert await keys_of(files) == ["a"]
        assert await files.sweep() == await files.sweep(["a"]) == 0
        await files.delete("a")
        assert (await files.get("a"), await files.info("a")) == (None, None)
        with pytest.raises(MissingKey):
            await files.open("a")
        assert await names_of(kv) == []

    asyncio.run(run())


class _AsyncFile:
    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    async def read(self, size: int) -> bytes:
        """As asynchronous files have it."""
        await asyncio.sleep(0)
        return self._inner.read(size)


async def _trickle() -> AsyncIterator[bytes]:
    for at in range(0, len(CONTENT), 50):
        await asyncio.sleep(0)
        yield CONTENT[at : at + 50]


@pytest.mark.parametrize(
    "source",
    [
        lambda: CONTENT,
        lambda: io.BytesIO(CONTENT),
        lambda: [CONTENT[:9], CONTENT[9:]],
        lambda: _AsyncFile(CONTENT),
        _trickle,
    ],
)
def test_sources(source: Any) -> None:
    """What the twin takes, and files and iterables that are awaited."""

    async def run() -> None:
        files = AsyncFiles(PLAIN, {}, chunk_bytes=CHUNK)
        await files.put("a", source())
        assert await files.get("a") == CONTENT

    asyncio.run(run())


def test_a_file_that_is_bytes_too(tmp_path: Path) -> None:
    """``mmap``: by both twins read from where it stands, and not once so and once whole."""
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    kv: dict[str, bytes] = {}

    async def run(mapped: mmap.mmap) -> None:
        await AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK).put("async", mapped)

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        mapped.seek(100)
        Files(PLAIN, kv, chunk_bytes=CHUNK).put("sync", mapped)
        mapped.seek(100)
        asyncio.run(run(mapped))
    files = Files(PLAIN, kv)
    assert files.get("sync") == files.get("async") == CONTENT[100:]


def test_a_source_that_fails_changes_nothing() -> None:
    """Also one that is cancelled while it is awaited: the old file stays, and nothing else."""

    async def fails() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ZeroDivisionError

    async def run() -> None:
        kv: dict[str, bytes] = {}
        files = AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)
        await files.put("a", CONTENT[:200])
        before = dict(kv)
        with pytest.raises(ZeroDivisionError):
            await files.put("a", fails())
        with pytest.raises(EncodeError):
            await files.put("a", io.StringIO("text"))
        is_waiting = asyncio.Event()

        async def waits() -> AsyncIterator[bytes]:
            yield CONTENT
            is_waiting.set()
            await asyncio.Event().wait()

        putting = asyncio.create_task(files.put("a", waits()))
        await is_waiting.wait()
        assert len(kv) > len(before)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert kv == before

    asyncio.run(run())


MOVES = st.lists(
    st.tuples(st.just("read"), st.integers(-1, 200))
    | st.tuples(st.just("seek"), st.integers(0, 400), st.just(0))
    | st.tuples(st.just("tell")),
    max_size=10,
)


@settings(deadline=None)
@given(moves=MOVES, content=st.binary(max_size=4 * CHUNK))
def test_an_opened_file_is_like_bytes_io(moves: list[tuple[Any, ...]], content: bytes) -> None:
    """Read from anywhere, the same as ``io.BytesIO``."""

    async def run() -> None:
        files = AsyncFiles(SEALED, {}, chunk_bytes=CHUNK)
        await files.put("a", content)
        model = io.BytesIO(content)
        async with await files.open("a") as opened:
            for method, *arguments in moves:
                expected = getattr(model, method)(*arguments)
                assert await getattr(opened, method)(*arguments) == expected

    asyncio.run(run())


def test_pieces_and_closing() -> None:
    """``async for`` gives the rest; a closed file gives nothing; bad positions are refused."""

    async def run() -> None:
        files = AsyncFiles(PLAIN, {}, chunk_bytes=CHUNK)
        await files.put("a", CONTENT)
        opened = await files.open("a")
        assert opened.info == await files.info("a")
        await opened.seek(-100, io.SEEK_END)
        assert b"".join([piece async for piece in opened]) == CONTENT[-100:]
        for arguments in ((-1, 0), (0, 3)):
            with pytest.raises(ValueError, match=r"position|whence"):
                await opened.seek(*arguments)
        assert await opened.read(None) == b""
        await opened.close()
        with pytest.raises(ValueError, match="closed"):
            await opened.read()

    asyncio.run(run())


def test_rewritten_while_it_is_read() -> None:
    """Conflict from an opened file; a changed chunk is found by the sha256."""

    async def run() -> None:
        kv: dict[str, bytes] = {}
        files = AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)
        await files.put("a", CONTENT)
        opened = await files.open("a")
        await opened.read(10)
        await files.put("a", CONTENT[::-1])
        with pytest.raises(Conflict, match="open it again"):
            await opened.read()
        name = next(name for name in kv if name.endswith(".1"))
        kv[name] = bytes(CHUNK)
        with pytest.raises(Tampered, match="sha256"):
            await files.get("a")

    asyncio.run(run())


def test_puts_of_many_tasks() -> None:
    """The last to finish wins, whole, and nothing is left of the others."""

    async def run() -> None:
        handles: tuple[Any, ...] = ({}, AsyncMemoryKV())
        for kv in handles:
            files = AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)

            async def slowly(number: int) -> AsyncIterator[bytes]:
                for _ in range(5 + number):
                    await asyncio.sleep(0)
                    yield bytes((number,)) * 40

            async def put(number: int, files: AsyncFiles = files) -> None:
                await files.put("a", slowly(number))

            await asyncio.gather(*(put(number) for number in range(10)))
            content = await files.get("a")
            assert content is not None
            assert content == bytes(content[:1]) * 40 * (5 + content[0])
            assert await names_of(kv) == expected_names({"a": len(content)})

    asyncio.run(run())


def test_stopped_at_every_operation() -> None:
    """As in the twin: the old file or the new one, and the next put leaves nothing else."""

    async def run() -> None:
        for at in range(1000):
            kv: dict[str, bytes] = {}
            await AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK).put("a", CONTENT[:300])
            script = [*[None] * at, Stop("after"), *[Stop()] * 100]
            try:
                faulty = AsyncFiles(PLAIN, AsyncFaultyKV(kv, script), chunk_bytes=CHUNK)
                await faulty.put("a", CONTENT)
            except Stopped:
                files = AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK)
                assert await files.get("a") in (CONTENT[:300], CONTENT)
                await files.put("a", CONTENT[:100])
                assert names_on(kv) == expected_names({"a": 100})
            else:
                assert at > 15
                return

    asyncio.run(run())


def test_listing() -> None:
    """Unsupported at once where the backend cannot list, unless there is an index."""

    class Bare:
        def __init__(self) -> None:
            inner = AsyncMemoryKV()
            self.get, self.set, self.delete = inner.get, inner.set, inner.delete

    with pytest.raises(Unsupported):
        AsyncFiles(PLAIN, Bare()).keys()

    async def run() -> None:
        files = AsyncFiles(Keyspace("files", bytes, indexed=True), Bare(), chunk_bytes=CHUNK)
        await files.put("a", CONTENT)
        assert await keys_of(files) == ["a"]
        assert await files.sweep() == 0

    asyncio.run(run())


def _numbered() -> Iterator[str]:
    return (f"{number:016x}" for number in count())


@pytest.mark.parametrize("name", ["plain", "compressed", "checksum", "ttl"])
@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("ab"), st.none() | st.binary(max_size=300)), max_size=6
    )
)
def test_twins_store_the_same_bytes(name: str, steps: list[tuple[str, bytes | None]]) -> None:
    """The same steps leave the same names and the same bytes, and take the same operations."""
    clock = ManualClock()
    left, right = MemoryKV(), AsyncMemoryKV()
    with pytest.MonkeyPatch.context() as patch:
        numbers = _numbered()

        def token_hex(_: int) -> str:
            return next(numbers)

        patch.setattr(secrets, "token_hex", token_hex)
        sync = Files(KEYSPACES[name], left, chunk_bytes=CHUNK, clock=clock)
        for key, content in steps:
            if content is None:
                sync.delete(key)
            else:
                sync.put(key, content)
        twin = AsyncFiles(KEYSPACES[name], right, chunk_bytes=CHUNK, clock=clock)
        numbers = _numbered()
        asyncio.run(_follow(twin, steps))
    assert stored(left) == stored(right._kv)


async def _follow(files: AsyncFiles, steps: list[tuple[str, bytes | None]]) -> None:
    for key, content in steps:
        if content is None:
            await files.delete(key)
        else:
            await files.put(key, content)
