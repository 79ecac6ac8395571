"""Nothing of a file is in an error: not in its text, nor in the locals of kvcodec's frames."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from kvcodec import AsyncFiles, DecodeError, Files, Keyspace, KVCodecError
from kvcodec.testing import AsyncFaultyKV, ErrorAfter, ErrorBefore, FaultyKV, Stop
from tests.leaks import CANARY, leaks
from tests.stores.files.handles import CHUNK, PLAIN, SEALED

SECRET = (CANARY * 50).encode()

Put = Callable[[Any, Any], object]


def put(kv: Any, data: Any) -> None:
    """Put a file by ``Files``."""
    Files(PLAIN, kv, chunk_bytes=CHUNK).put("a", data)


def put_async(kv: Any, data: Any) -> None:
    """Put it by ``AsyncFiles``."""
    asyncio.run(AsyncFiles(PLAIN, kv, chunk_bytes=CHUNK).put("a", data))


class Awaited:
    """A file whose ``read`` is async."""

    def __init__(self) -> None:
        self._inner = io.BytesIO(SECRET)

    async def read(self, size: int) -> bytes:
        """As asynchronous files have it."""
        return self._inner.read(size)


async def trickling() -> AsyncIterator[bytes]:
    """An async iterable."""
    for at in range(0, len(SECRET), 50):
        yield SECRET[at : at + 50]


SOURCES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: SECRET,
    "file": lambda: io.BytesIO(SECRET),
    "iterable": lambda: [SECRET[:50], SECRET[50:]],
}
ASYNC_SOURCES = SOURCES | {"async file": Awaited, "async iterable": trickling}

PUTS = [
    *(pytest.param(put, FaultyKV, source, id=f"sync-{name}") for name, source in SOURCES.items()),
    *(
        pytest.param(put_async, AsyncFaultyKV, source, id=f"async-{name}")
        for name, source in ASYNC_SOURCES.items()
    ),
]


@pytest.mark.parametrize("fault", [ErrorBefore(), ErrorAfter(), Stop("after")])
@pytest.mark.parametrize(("store", "faulty", "source"), PUTS)
def test_no_error_of_put_holds_the_content(
    store: Put, faulty: Any, source: Any, fault: Any
) -> None:
    """Whichever operation fails, or is the last one: of a file, of bytes, of an iterable."""
    errors: list[BaseException] = []
    for at in range(25):
        try:
            store(faulty({}, [*[None] * at, fault]), source())
        except BaseException as error:  # noqa: BLE001 - the process ends, too
            errors.append(error)
    assert len(errors) > 15
    assert [leaks(error) for error in errors] == [[]] * len(errors)


def failing() -> Iterator[bytes]:
    """A source that fails while it is read."""
    yield SECRET
    raise ZeroDivisionError


async def failing_later() -> AsyncIterator[bytes]:
    """The same, async."""
    yield SECRET
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("store", "source"),
    [
        (put, failing),
        (put_async, failing),
        (put_async, failing_later),
        *(
            (store, source)
            for store in (put, put_async)
            for source in (
                SECRET.decode,
                lambda: [SECRET, SECRET.decode()],
                lambda: io.StringIO(SECRET.decode()),
            )
        ),
    ],
)
def test_no_error_of_a_source_holds_the_content(store: Put, source: Any) -> None:
    """Neither one of its own, nor that it is no source of bytes."""
    with pytest.raises((ZeroDivisionError, KVCodecError)) as told:
        store({}, source())
    assert leaks(told.value) == []


def test_no_cancellation_of_a_put_holds_the_content() -> None:
    """What is thrown into a task has a traceback too."""

    async def run() -> BaseException:
        is_waiting = asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            yield SECRET
            is_waiting.set()
            await asyncio.Event().wait()

        putting = asyncio.create_task(AsyncFiles(PLAIN, {}, chunk_bytes=CHUNK).put("a", waiting()))
        await is_waiting.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError) as told:
            await putting
        return told.value

    assert leaks(asyncio.run(run())) == []


# ------------------------------------------------------------------------------------- reading


def readers(keyspace: Keyspace[bytes], kv: Any) -> Iterator[Callable[[], Any]]:
    """Each way to read a file to its end."""
    files, twin = Files(keyspace, kv), AsyncFiles(keyspace, kv)

    async def opened() -> bytes:
        async with await twin.open("a") as file:
            return await file.read()

    async def piece_by_piece() -> bytes:
        return b"".join([piece async for piece in await twin.open("a")])

    yield lambda: files.get("a")
    yield lambda: files.open("a").read()
    yield lambda: files.open("a").readlines()
    yield lambda: list(iter(partial(files.open("a").read1, 10), b""))
    yield lambda: files.open("a").raw.readinto(memoryview(bytearray(1000)))
    yield lambda: asyncio.run(twin.get("a"))
    yield lambda: asyncio.run(opened())
    yield lambda: asyncio.run(piece_by_piece())


@pytest.mark.parametrize("content", [SECRET, SECRET[:20]], ids=["chunks", "manifest"])
@pytest.mark.parametrize(
    "keyspace", [PLAIN, Keyspace("files", bytes, checksum=True), SEALED], ids=repr
)
def test_no_error_of_reading_holds_the_content(keyspace: Keyspace[bytes], content: bytes) -> None:
    """Of a failing KV, of a damaged chunk, of a manifest that holds the whole file."""
    kv: dict[str, bytes] = {}
    Files(keyspace, kv, chunk_bytes=CHUNK).put("a", content)
    for name in list(kv):
        damaged = kv | {name: kv[name][:-1]}
        failed = [error for read in readers(keyspace, damaged) for error in _errors_of(read)]
        assert len(failed) > 3
        assert [leaks(error) for error in failed] == [[]] * len(failed)


def _errors_of(read: Callable[[], Any]) -> Iterator[DecodeError]:
    try:
        read()
    except DecodeError as error:
        yield error
